"""Requests that follow several beams, in the place of a batch of rows: they share a decoder and settings.

Their prompts are read in chunks and each turn goes one token further, so that others have theirs between. A text's
events come when it is done, all at once: what its first token is, the last one decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from time import perf_counter

from onnxpress.errors import InputError
from onnxpress.generation.batch import LONE_CHUNK_TOKENS, Group
from onnxpress.generation.decoder import Decoder, Ids
from onnxpress.generation.events import Event, Generated
from onnxpress.generation.pace import Pace
from onnxpress.generation.prompts import chunk_end, unread
from onnxpress.generation.search.beams import BeamSearch


class BeamBatch:
    """Arguments:
    groups: of each a row that stands in the decoder's slot of its number. All have the same settings.
    chunk_tokens, pace, steady: as of `DecoderBatch`; a batch of one request is steady.
    """

    #: Nobody joins.
    admits = False

    def __init__(
        self,
        decoder: Decoder,
        groups: Sequence[Group],
        chunk_tokens: int | None,
        pace: Pace | None = None,
        *,
        steady: bool = False,
    ) -> None:
        requests = [group.request for group in groups]
        self.decoder = decoder
        self._all = list(groups)
        self._chunk_tokens = chunk_tokens
        self._pace = pace
        self._beams = requests[0].config.num_beams
        self._unread = list(range(len(groups)))
        texts = [request.text or () for request in requests] if requests[0].text is not None else None
        self._search = BeamSearch(
            decoder,
            [request.prompt for request in requests],
            requests[0].config,
            [request.hooks for request in requests],
            texts,
        )
        for slot, request in enumerate(requests):
            decoder.mark_prompt(slot, len(request.prompt), request.owner)

    @property
    def done(self) -> bool:
        """Whether every text is."""
        return not self._search.running

    @property
    def rows(self) -> int:
        """How many rows there are, or will be once the prompts are read."""
        return len(self._search.running) * self._beams

    @property
    def tokens(self) -> int:
        """How many tokens its rows hold, or will once the prompts are read."""
        return self._search.tokens

    @property
    def most_tokens(self) -> int:
        """How many tokens its rows may come to."""
        return sum(group.rows[0].prompt + group.rows[0].most for group in self.groups) * self._beams

    @property
    def groups(self) -> Iterable[Group]:
        """The requests that are not finished."""
        return [self._all[number] for number in self._search.running]

    def leave(self, group: Group) -> list[Event]:
        """Cancel a request; what was found so far is told."""
        number = self._all.index(group)
        self._search.stop(number)
        return [*self._told(group, self._search.results[number], ends=False), *(row.cancel() for row in group.rows)]

    def turn(self) -> list[tuple[int, Event]]:
        """Read a chunk of a prompt, or go one token further: (request's id, event) of the texts that are done now."""
        if self._read_some():
            return []
        before = self._search.running
        try:
            self._search.step()
        except InputError as failure:  # of the settings, which all have: more beams than tokens
            self._search.abort(failure)
        events: list[tuple[int, Event]] = []
        for number in sorted(set(before).difference(self._search.running)):
            group, error = self._all[number], self._search.errors[number]
            if error is None:
                new = self._told(group, self._search.results[number], ends=True)
            else:
                new = [row.fail(error) for row in group.rows]
            events += [(group.id, event) for event in new]
        return events

    def _read_some(self) -> bool:
        """Read a chunk of a prompt that is longer than one; whether there was any."""
        size = self._chunk_tokens if self._pace is None else self._pace.tokens
        if size is None:
            return False
        size = min(size, LONE_CHUNK_TOKENS)
        running = self._search.running
        while self._unread:
            number = self._unread[0]
            if number in running:
                group, slot = self._all[number], running.index(number)
                prompt = group.rows[0].ids[: group.rows[0].prompt]
                if not group.begun and not self.decoder.lengths[slot]:
                    self.decoder.recall(slot, prompt[:-1])
                group.begun = True
                left = unread(self.decoder, slot, prompt)
                stop = chunk_end(0, len(left), size)
                if stop < len(left):
                    self._prefill(slot, left[:stop])
                    return True
            del self._unread[0]
        return False

    def _prefill(self, slot: int, tokens: Ids) -> None:
        started = perf_counter()
        self.decoder.prefill(slot, tokens)
        if self._pace is not None:
            self._pace.note_chunk(len(tokens), perf_counter() - started)

    def _told(self, group: Group, texts: Sequence[Generated], *, ends: bool) -> list[Event]:
        """The events of a request's texts; `ends`: the last of each says how it ended."""
        events = []
        for row, text in zip(group.rows, texts, strict=False):
            last = len(text.ids) - 1
            for place, token in enumerate(text.ids):
                finish = text.finish_reason if ends and place == last else None
                events.append(Event(row.number, token, None, finish))
            if ends:
                row.finish = text.finish_reason
        few = InputError("fewer texts were found than were asked for: ask for fewer")
        return [*events, *(row.fail(few) for row in group.rows[len(texts) :] if ends)]
