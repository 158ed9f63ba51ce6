"""Turns requests into events, one turn at a time: requests join and leave while others are being written.

Each text is what it would be alone: what a row may come to depends on its own tokens, settings and seed. A call for
some texts is "admit all, step until done" (`generate`); a server admits while it steps. Knows token ids alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from onnxpress.errors import InputError
from onnxpress.generation.batch import DecoderBatch, Group
from onnxpress.generation.beam_batch import BeamBatch
from onnxpress.generation.decoder import Decoder, DecoderModel
from onnxpress.generation.events import Event
from onnxpress.generation.pace import Pace
from onnxpress.generation.pool.blocks import KeptBlocks
from onnxpress.generation.requests import Request
from onnxpress.generation.row import rows_of

#: Tokens of a prompt that are read between two steps of those that write: the step waits so long, and chunks of 32 are
#: read as fast as long ones (q8 and q4; fp32 takes a sixth longer).
CHUNK_TOKENS = 64

#: New tokens for which there must be room when a request is let in.
NEW_TOKENS = 32

#: Room that is made for new tokens at first; more is made when it is needed.
ROOM_TOKENS = 256

OpenDecoder = Callable[[Sequence[Request]], Decoder]


class Scheduler:
    """Continues the prompts of many requests over one model. Not for several threads.

    Arguments:
        open_decoder: makes a decoder with a row for each of some requests, which has read their texts if there is an
            encoder. Called whenever requests come in and no decoder is open that admits them.
        limit: the most tokens of a row.
        rows: texts that are written at the same time; requests beyond it wait. None: any number.
        chunk_tokens: tokens of prompts that are read between two steps of the rows that write; None: prompts are read
            whole, and before any row steps.
        pace: sizes the chunks by the time that they take, in the place of `chunk_tokens`.
        tokens: that all texts which are being read and written may have together; a request waits until there is room
            for it, and if what is written needs more, the youngest request gives its memory up and is read again later.
            None: any number.
        decoders: that may be open at once for what cannot join others, beams and what an encoder has read: what comes
            meanwhile waits, and is read together. None: any number.
        steady: whether a text comes out the same to the last bit whoever else is there, with an `open_decoder` whose
            decoders are. Then a request waits until there is room for all that it may write.
        apart: whether each request has a decoder of its own: where several rows of one are not steady.
        store: what rows that left have read; it has what `tokens` leaves.
        closes: whether a decoder is closed when its last row is finished.
    """

    def __init__(
        self,
        open_decoder: OpenDecoder,
        limit: int | None,
        *,
        rows: int | None = None,
        chunk_tokens: int | None = CHUNK_TOKENS,
        pace: Pace | None = None,
        tokens: int | None = None,
        decoders: int | None = None,
        steady: bool = False,
        apart: bool = False,
        store: KeptBlocks | None = None,
        closes: bool = True,
    ) -> None:
        self._open_decoder = open_decoder
        self._limit = limit
        self._rows = rows
        self._chunk_tokens = chunk_tokens
        self._pace = pace
        self._tokens = tokens
        self._decoders = decoders
        self._steady, self._all_apart = steady, apart
        self.store = store
        #: Schedulers of other models that the same bounds of rows and tokens are for, in the same thread.
        self.beside: Sequence[Scheduler] = ()
        #: How often a request gave its memory up.
        self.given_up = 0
        self._closes = closes
        self._next_id = 0
        self._waiting: list[Group] = []
        self._batches: list[DecoderBatch | BeamBatch] = []
        self._failed: list[tuple[int, Event]] = []  # of requests for which no decoder could be opened
        self._cancellable = False  # whether any request has had a hook that cancels

    @property
    def busy(self) -> bool:
        """Whether any request is not finished."""
        return bool(self._waiting or self._batches)

    @property
    def waiting(self) -> int:
        """How many requests have no slot yet."""
        return len(self._waiting)

    @property
    def rows(self) -> int:
        """How many texts have a slot."""
        return sum(batch.rows for batch in self._batches)

    @property
    def tokens(self) -> int:
        """How many tokens they hold, or will once their prompts are read."""
        return sum(batch.tokens for batch in self._batches)

    def admit(self, request: Request) -> int:
        """Accept a request; returns its id, which its events carry. It begins at the next `step`, or waits for a slot.

        Raises:
            InputError: settings that do not go together, a prompt that is empty or leaves no room, or more tokens
                than there is memory for.
        """
        request.check()
        group = Group(self._next_id, request, rows_of(request, self._limit))
        most = max(row.prompt + row.most for row in group.rows) * request.width
        if self._tokens is not None and most > self._tokens:
            raise InputError(
                f"the prompt and what may follow it have {most} tokens, and there is memory for {self._tokens}: ask "
                "for fewer new tokens, or shorten it"
            )
        self._next_id += 1
        self._cancellable |= request.hooks.cancelled is not None
        self._wait(group)
        return group.id

    def step(self) -> list[tuple[int, Event]]:
        """One turn: let requests in, read a chunk of a prompt, and continue every text that is being written.

        Returns (request's id, event) of each new token. A request whose rules, hooks or prompt fail ends with an event
        of finish "failed", and the others go on.

        Raises:
            EngineError: the model failed. No request can go on: `close`.
        """
        events = self._cancel() if self._cancellable else []
        if self._tokens is not None:
            self._make_room(self._tokens - self._taken_beside)
        if self._waiting:
            self._let_in()
        if self._tokens is not None:
            free = self._tokens - self._taken_beside - self.tokens - self.rows
            stores = [scheduler.store for scheduler in (self, *self.beside) if scheduler.store is not None]
            for store in stores:
                store.fit(free // len(stores))
        events += self._failed
        self._failed = []
        for batch in self._batches:
            events += batch.turn()
        self._drop_batches()
        return events

    def free(self, request: int) -> None:
        """Forget a request, finished or not: no event of it comes any more, and its slots serve others."""
        self._waiting = [group for group in self._waiting if group.id != request]
        for batch in self._batches:
            for group in batch.groups:
                if group.id == request:
                    batch.leave(group)
        self._drop_batches()

    def close(self) -> None:
        """Forget every request, and free the memory."""
        self._waiting.clear()
        for batch in self._batches:
            if self._closes:
                batch.decoder.close()
        self._batches.clear()

    @property
    def _taken_beside(self) -> int:
        return sum(scheduler.tokens + scheduler.rows for scheduler in self.beside)

    def _cancel(self) -> list[tuple[int, Event]]:
        """End the requests whose hook says so; each hook is asked once."""
        events: list[tuple[int, Event]] = []
        answers: dict[int, bool] = {}

        def cancelled(group: Group) -> bool:
            hook = group.request.hooks.cancelled
            if hook is None:
                return False
            if id(hook) not in answers:
                answers[id(hook)] = hook()
            return answers[id(hook)]

        for batch in self._batches:
            for group in batch.groups:
                if cancelled(group):
                    events += [(group.id, event) for event in batch.leave(group)]
        self._drop_batches()
        for group in [group for group in self._waiting if cancelled(group)]:
            events += [(group.id, row.cancel()) for row in group.rows]
            self._waiting.remove(group)
        return events

    def _wait(self, group: Group) -> None:
        self._waiting.append(group)
        self._waiting.sort(key=_by_priority)

    def _make_room(self, most: int) -> None:
        """Let the youngest requests give their memory up until there is room for the next token of every row."""
        while self.tokens + self.rows > most:
            running = [(batch, group) for batch in self._batches for group in batch.groups]
            movable = [
                (batch, group)
                for batch, group in running
                if isinstance(batch, DecoderBatch) and batch.admits and len(group.rows) == 1 and not self._steady
            ]
            if len(running) < 2 or not movable:
                return
            batch, group = max(movable, key=lambda entry: (-entry[1].request.priority, entry[1].id))
            self._wait(batch.give_up(group))
            self.given_up += 1

    def _let_in(self) -> None:
        """Give slots to the next requests, in order: none is passed by one that needs fewer slots.

        Those that need a decoder of their own wait for one, and are passed by others.
        """
        beside = sum(scheduler.rows for scheduler in self.beside)
        room = None if self._rows is None else self._rows - self.rows - beside
        full = self._decoders is not None and sum(not batch.admits for batch in self._batches) >= self._decoders
        entering: list[Group] = []
        taken = sum(batch.most_tokens for batch in self._batches) if self._steady else self.tokens + self.rows
        free = None if self._tokens is None else self._tokens - taken - self._taken_beside
        for group in self._waiting:
            width = group.request.width
            if full and self._apart(group):
                continue
            if free is not None:
                most = max(row.left for row in group.rows) if self._steady else NEW_TOKENS
                free -= max(row.begun + min(row.left, most) for row in group.rows) * width
                if free < 0 and (entering or self._batches or beside):
                    break
            if room is not None:
                room -= width
                if room < 0 and (
                    entering or self.rows or beside
                ):  # one that is wider than there is room for enters alone
                    break
            entering.append(group)
        while entering:
            running = (batch for batch in self._batches if isinstance(batch, DecoderBatch) and batch.admits)
            joins = None if self._apart(entering[0]) else next(running, None)
            if joins is not None:
                joining = [group for group in entering if not self._apart(group)]
                for group in joining:
                    joins.join(group)
            elif self._steady and self._apart(entering[0]):
                joining = entering[:1]
                self._open(joining)
            else:
                joining = [group for group in entering if self._kind(group) == self._kind(entering[0])]
                self._open(joining)
            entering = [group for group in entering if group not in joining]
            self._waiting = [group for group in self._waiting if group not in joining]

    def _open(self, groups: Sequence[Group]) -> None:
        """Begin a batch; if that fails each of these begins one, and those fail for which that fails, too."""
        try:
            decoder = self._open_decoder([group.request for group in groups])
        except Exception as error:
            if len(groups) > 1:
                for group in groups:
                    self._open([group])
            else:
                self._failed += [(group.id, row.fail(error)) for group in groups for row in group.rows]
            return
        kind = BeamBatch if groups[0].request.config.num_beams > 1 else DecoderBatch
        self._batches.append(kind(decoder, groups, self._chunk_tokens, self._pace, steady=self._steady))

    def _kind(self, group: Group) -> tuple[object, ...]:
        """What requests have in common that begin with one decoder: what is read together has as many rows each."""
        request = group.request
        beams = request.config if request.config.num_beams > 1 else None
        return self._apart(group), len(group.rows), group.guesses, request.kind, beams

    def _apart(self, group: Group) -> bool:
        """Whether a request can join no other's decoder, nor others its."""
        return self._all_apart or group.request.encodes or group.request.config.num_beams > 1

    def _drop_batches(self) -> None:
        for batch in [batch for batch in self._batches if batch.done]:
            self._batches.remove(batch)
            if self._closes:
                batch.decoder.close()


def _by_priority(group: Group) -> tuple[int, int]:
    return -group.request.priority, group.id


def opener(model: DecoderModel, store: KeptBlocks | None = None, *, steady: bool = False) -> OpenDecoder:
    """What opens decoders of a decoder-only model; `store`: what their rows leave; `steady`: as of `Scheduler`."""
    return lambda requests: model.start(len(requests), room(requests, model.limit), store, steady=steady)


def room(requests: Sequence[Request], limit: int | None) -> int:
    """Tokens to make room for at first, in a row of each of these."""
    lengths = [len(request.prompt) for request in requests]
    most = [request.config.most_new_tokens(length, limit) for request, length in zip(requests, lengths, strict=True)]
    return max(length + min(new, ROOM_TOKENS) for length, new in zip(lengths, most, strict=True))
