"""The rows of one decoder: some write, a token of each per turn, while the prompts of others are read in chunks.

Slots of the decoder: first the rows that write, which step together; then, one slot each, requests whose prompts are
being read and rows that guess ahead, which are called alone. Knows token ids; admits whom it is told to.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np

from onnxpress.errors import InputError
from onnxpress.generation.decoder import Decoder, Logits
from onnxpress.generation.drawing import pick_each
from onnxpress.generation.events import Event
from onnxpress.generation.pace import Pace
from onnxpress.generation.pool.moves import settled
from onnxpress.generation.prompts import chunk_end, read_together, unread
from onnxpress.generation.requests import Request
from onnxpress.generation.row import Row
from onnxpress.generation.rules import Scores
from onnxpress.generation.search.speculation import advance

#: Tokens of a prompt that are read in a turn in which no other row waits for its next token: as fast as any number.
LONE_CHUNK_TOKENS = 256


@dataclass(slots=True, eq=False)
class Group:
    """The rows of one request. `begun`: it has a slot; `read`: its prompt was read, and its first tokens are out;
    `recalled`: tokens of its prompt that others had read."""

    id: int
    request: Request
    rows: list[Row]
    begun: bool = False
    read: bool = False
    recalled: int = 0

    @property
    def guesses(self) -> bool:
        """Whether the request guesses its next tokens and reads the guesses."""
        return self.request.config.prompt_lookup_num_tokens > 0

    @property
    def done(self) -> bool:
        """Whether every row is finished."""
        return all(row.finish is not None for row in self.rows)


class DecoderBatch:
    """Rows that share a decoder.

    Arguments:
        groups: of each a row that stands in the decoder's slot of its number; what it holds already has to be the
            beginning of the prompt. After an encoder all have the same number of rows.
        chunk_tokens: tokens of prompts that are read between two steps of the rows that write; None: all prompts are
            read before any row steps.
        pace: says how many in the place of `chunk_tokens`, and is told how long things take.
        steady: whether a row is read the same way whoever else is there.
    """

    def __init__(
        self,
        decoder: Decoder,
        groups: Sequence[Group],
        chunk_tokens: int | None,
        pace: Pace | None = None,
        *,
        steady: bool = False,
    ) -> None:
        self._steady = steady
        self.decoder = decoder
        self._pace = pace
        self._chunk_tokens = chunk_tokens
        self._alone = list(groups)
        for slot, group in enumerate(groups):
            decoder.mark_prompt(slot, group.rows[0].prompt, group.request.owner)
        self._writing: list[tuple[Group, Row]] = []
        self._turn = 0
        #: Rows that stay side by side while one of them runs: those of a text that an encoder has read.
        self._together = 1 if decoder.admits else len(groups[0].rows)
        #: Whether every row is finished.
        self.done = False

    @property
    def admits(self) -> bool:
        """Whether requests may join."""
        return self.decoder.admits

    @property
    def rows(self) -> int:
        """How many rows there are, or will be once the prompts are read."""
        return len(self._writing) + sum(len(group.rows) for group in self._alone)

    @property
    def tokens(self) -> int:
        """How many tokens its rows hold, or will once the prompts are read."""
        rows = [row for _, row in self._writing] + [row for group in self._alone for row in group.rows]
        return sum(row.length for row in rows if row.finish is None)

    @property
    def most_tokens(self) -> int:
        """How many tokens its rows may come to."""
        return sum(row.prompt + row.most for group in self.groups for row in group.rows)

    @property
    def groups(self) -> Iterable[Group]:
        """The requests with rows that are not finished."""
        running = {group.id: group for group, _ in self._writing} | {group.id: group for group in self._alone}
        return [group for group in running.values() if not group.done]

    def join(self, group: Group) -> None:
        """Add a request. The decoder has to admit rows."""
        self.decoder.mark_prompt(self.decoder.admit(), group.rows[0].prompt, group.request.owner)
        self._alone.append(group)
        self.done = False

    def leave(self, group: Group) -> list[Event]:
        """Cancel the unfinished rows of a request, and free their slots."""
        events = [row.cancel() for row in group.rows if row.finish is None]
        group.read = True
        if not self._waits:
            self._settle()
        self._check_done()
        return events

    def give_up(self, group: Group) -> Group:
        """Free the slot of a request of one row; the request as it is to be let in again. Where the decoder admits."""
        [row] = group.rows
        again = Group(group.id, group.request, [row.again()])
        self.leave(group)
        return again

    def turn(self) -> list[tuple[int, Event]]:
        """Read a chunk of a prompt, and continue every row that writes: (request's id, event) for each new token."""
        events: list[tuple[int, Event]] = []
        if self._alone:
            self._call_alone(events)
        elif self._writing:
            self._step(events)
        if any(event.finish is not None for _, event in events):
            self._check_done()
        return events

    def _call_alone(self, events: list[tuple[int, Event]]) -> None:
        """Take a turn that calls rows alone, beside those that step together."""
        pending = [group for group in self._alone if not group.read]
        if pending:
            self._read_some(pending, events)
            if self._chunk_tokens is None:
                return
        for slot, group in enumerate(self._alone, len(self._writing)):
            if group.read and group.guesses and not group.done:
                row = group.rows[0]
                self._take(group, row, advance(self.decoder, slot, row, group.request.config), events)
        if self._writing:
            self._step(events)
        if any(group.done for group in self._alone) and not self._waits:
            self._settle()

    def _check_done(self) -> None:
        self.done = all(row.finish is not None for _, row in self._writing) and all(group.done for group in self._alone)

    @property
    def _waits(self) -> bool:
        """Whether rows may take their places only when all prompts are read."""
        reads_first = self._chunk_tokens is None or not self.decoder.admits
        return reads_first and any(not group.read for group in self._alone)

    def _read_some(self, pending: list[Group], events: list[tuple[int, Event]]) -> None:
        if not self._writing and not any(group.begun for group in self._alone) and self._read_together(events):
            pass
        elif not self.decoder.admits:
            for group in pending:
                self._read(group, None, events)
        elif self._chunk_tokens is None:
            self._read(pending[0], None, events)
        else:
            self._read(self._next(pending), self._chunk() if self._writing else LONE_CHUNK_TOKENS, events)
        if any(group.read for group in self._alone) and not self._waits:
            self._settle()

    def _chunk(self) -> int | None:
        return self._chunk_tokens if self._pace is None else self._pace.tokens

    def _next(self, pending: list[Group]) -> Group:
        """Choose the next request to read: every other turn the oldest, else the one with the shortest rest."""
        self._turn += 1
        if self._turn % 2:
            return min(pending, key=self._left)
        return pending[0]

    def _left(self, group: Group) -> int:
        return group.rows[0].begun - (self.decoder.lengths[self._slot(group)] if group.begun else 0)

    def _slot(self, group: Group) -> int:
        return len(self._writing) + self._alone.index(group)

    def _read_together(self, events: list[tuple[int, Event]]) -> bool:
        """Read short prompts of equal length in steps of all rows, if that suits them."""
        if any(group.guesses for group in self._alone):
            return False
        scores = (
            None
            if self._steady
            else read_together(self.decoder, [group.rows[0].ids[: group.rows[0].begun] for group in self._alone])
        )
        if scores is None:
            return False
        for slot, group in enumerate(self._alone):
            group.begun = True
            self._begin(group, scores[slot], events)
        return True

    def _read(self, group: Group, size: int | None, events: list[tuple[int, Event]]) -> None:
        """Read a chunk of a prompt, or all that is left of it."""
        decoder, slot, first = self.decoder, self._slot(group), group.rows[0]
        prompt = first.ids[: first.begun]
        try:
            if not group.begun:
                group.begun = True
                if size is not None and not decoder.lengths[slot]:
                    decoder.recall(slot, prompt[:-1])
                    group.recalled = decoder.lengths[slot] if first.begun == first.prompt else 0
            left = unread(decoder, slot, prompt)
            stop = len(left) if size is None else chunk_end(0, len(left), size)
            if stop == len(left) and group.guesses:
                first.pending, group.read = left.tolist(), True
                return
            started = perf_counter()
            scores = decoder.prefill(slot, left[:stop])[0]
            if self._pace is not None:
                self._pace.note_chunk(stop, perf_counter() - started)
        except InputError as error:  # of this prompt alone: more tokens than the model takes, or none of its own
            group.read = True
            events.extend((group.id, row.fail(error)) for row in group.rows if row.finish is None)
            return
        if stop == len(left):
            self._begin(group, scores, events)

    def _begin(self, group: Group, scores: Scores, events: list[tuple[int, Event]]) -> None:
        """Take the first token of each row of a request."""
        group.read, first = True, len(events)
        for row in group.rows:
            if row.finish is None:
                self._take(group, row, row.take(scores if row is group.rows[-1] else scores.copy()), events)
        if group.recalled and len(events) > first:
            events[first] = (group.id, replace(events[first][1], cached=group.recalled))

    def _take(self, group: Group, row: Row, new: Iterable[Event], events: list[tuple[int, Event]]) -> None:
        try:
            events.extend((group.id, event) for event in new)
        except Exception as error:  # of a rule, a hook or a constraint of this request: others go on
            events.append((group.id, row.fail(error)))

    def _step(self, events: list[tuple[int, Event]]) -> None:
        finished, started = False, perf_counter()
        rows = self._scores()
        if self._pace is not None:
            self._pace.note_step(perf_counter() - started)
        group, row = self._writing[0]
        if len(self._writing) == 1 and row.finish is None:  # what most calls have
            self._take(group, row, row.take(rows[0]), events)
            if any(row.finish is not None for _, row in self._writing) and not self._waits:
                self._settle()
            return
        ruled: list[tuple[Group, Row, Scores, Scores]] = []
        for slot, ((group, row), scores) in enumerate(zip(self._writing, rows, strict=True)):
            if row.finish is not None:
                # It steps for its neighbours' sake, and does not grow.
                self.decoder.truncate(slot, self.decoder.lengths[slot] - 1)
                continue
            try:
                ruled.append((group, row, scores, row.rule(scores)))
            except Exception as error:  # of a rule or a constraint of this request: others go on
                events.append((group.id, row.fail(error)))
                finished = True
        picked = pick_each([scores for _, _, scores, _ in ruled], [row.draw for _, row, _, _ in ruled])
        for (group, row, _, before), token in zip(ruled, picked, strict=True):
            if isinstance(token, InputError):
                events.append((group.id, row.fail(token)))
            else:
                self._take(group, row, row.put(token, before), events)
            finished |= row.finish is not None
        if finished and not self._waits:
            self._settle()

    def _scores(self) -> Logits:
        """Let the decoder read the new tokens; the scores of the rows that write, float32 (rows, vocabulary)."""
        decoder, rows = self.decoder, [row for _, row in self._writing]
        if len(rows) == 1 and len(rows[0].pending) > 1 and not self._steady:
            return decoder.prefill(0, rows[0].pending)
        for slot, row in enumerate(rows):
            if len(row.pending) > 1 and row.finish is None:
                decoder.prefill(slot, row.pending[:-1])
        # A row that failed has none, and steps for its neighbours' sake.
        last = np.array([row.pending[-1] if row.pending else 0 for row in rows], np.int64)
        if not decoder.steps_uneven and len(set(decoder.lengths[: len(rows)])) > 1:
            return np.concatenate([decoder.prefill(slot, last[slot : slot + 1]) for slot in range(len(rows))])
        return decoder.step(last)

    def _settle(self) -> None:
        """Remove finished rows, and let rows whose prompts were read step with the others."""
        decoder, count = self.decoder, len(self._writing)
        writing: list[tuple[int, Group, Row]] = []
        for start in range(0, count, self._together):
            block = [(slot, *self._writing[slot]) for slot in range(start, start + self._together)]
            if any(row.finish is None for _, _, row in block):
                writing += block
        alone: list[tuple[int, Group]] = []
        for slot, group in enumerate(self._alone, count):
            if group.done:
                continue
            if group.read and not group.guesses:
                stay = group.rows if self._together > 1 else [row for row in group.rows if row.finish is None]
                writing += [(slot, group, row) for row in stay]
            else:
                alone.append((slot, group))
        if not writing and not alone:
            return  # the decoder keeps what it holds: a call that goes on need not read it again
        order = self._order([slot for slot, _, _ in writing])
        writing = [writing[item] for item in order]
        alone = [alone[item] for item in settled([slot for slot, _ in alone], len(writing))]
        sources = [slot for slot, _, _ in writing] + [slot for slot, _ in alone]
        if sources != list(range(len(decoder.lengths))):
            decoder.select(sources)
        self._writing = [(group, row) for _, group, row in writing]
        self._alone = [group for _, group in alone]

    def _order(self, slots: list[int]) -> list[int]:
        """An order for slots from 0 on of rows that are in these now: few move, and those of a text stay together."""
        together = self._together
        if together == 1:
            return settled(slots)
        if not self._writing:  # every text's rows come of its prompt's
            return list(range(len(slots)))
        texts = settled([slot // together for slot in slots[::together]])
        return [text * together + place for text in texts for place in range(together)]
