"""Segments as a result: the text, and its chunks with their times, in transformers' schema. Pure.

Times count from the beginning of the sound: each window knows where it begins. transformers adds up what the windows'
own times say, and is late or early after a window in which nothing was said.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from onnxpress.speech.languages import NAMES, WITHOUT_SPACES
from onnxpress.speech.segments import SpokenSegment
from onnxpress.speech.tokens import TIME_STEP, SpeechTokens

Decode = Callable[[Sequence[int]], str]


@dataclass(frozen=True, slots=True)
class SpokenChunk:
    """What was said from `start` to `end`, in seconds; None: not known. `spoken`: when each of the ids was."""

    ids: tuple[int, ...]
    start: float | None
    end: float | None
    spoken: tuple[tuple[float, float], ...] = ()


@dataclass(slots=True)
class Chunks:
    """Makes chunks of segments, one after the other, as they come."""

    tokens: SpeechTokens
    special: Collection[int]
    _ids: list[int] = field(default_factory=list)
    _spoken: list[tuple[float, float]] = field(default_factory=list)
    _start: float | None = None
    _window: int | None = None
    _before: float = 0.0

    def add(self, segment: SpokenSegment) -> Iterable[SpokenChunk]:
        """The chunks that end in this segment."""
        if segment.window != self._window and not self._ids:
            self._start = None  # nothing was said since: what comes begins where it begins
        self._window = segment.window
        done = []
        for place, token in enumerate(segment.tokens):
            now = None if segment.times is None else segment.times[place]
            if token in self.special:
                pass
            elif self.tokens.first_time is not None and token >= self.tokens.first_time:
                time = round((token - self.tokens.first_time) * TIME_STEP + segment.offset, 2)
                if self._start is None:
                    self._start = time
                elif time != self._start:
                    done.append(self._closed(time))
            else:
                if now is not None:
                    self._spoken.append((self._begins(now), round(now, 2)))
                self._ids.append(token)
            self._before = self._before if now is None else now
        return done

    def _begins(self, end: float) -> float:
        """When the next token's word begins that ends at `end`: with the token before, but not before its segment. Of a
        window's first word the attention tells nothing: it would begin with the window."""
        begin = self._start if self._start is not None and not self._ids else self._before
        return round(max(self._before, begin) if begin <= end else self._before, 2)

    def rest(self) -> Iterable[SpokenChunk]:
        """What has no end yet."""
        return [self._closed(None)] if self._ids else []

    def _closed(self, end: float | None) -> SpokenChunk:
        chunk = SpokenChunk(tuple(self._ids), self._start, end, tuple(self._spoken))
        self._ids, self._spoken, self._start = [], [], None
        return chunk


@dataclass(frozen=True, slots=True)
class TranscriptForm:
    """How results are told: `times` None, "segment" or "word"; `languages`: whether each chunk says which it is."""

    times: str | None
    languages: bool


def entries(chunk: SpokenChunk, form: TranscriptForm, decode: Decode, language: str | None) -> list[dict[str, Any]]:
    """A chunk as entries of the result's "chunks": one, or one for each word."""
    named = {"language": NAMES.get(language or "")} if form.languages else {}
    if form.times == "word":
        from onnxpress.speech.words import words_of

        return [
            {"text": word.text, "timestamp": (chunk.spoken[word.first][0], chunk.spoken[word.last][1]), **named}
            for word in words_of(chunk.ids, decode, spaces=language not in WITHOUT_SPACES)
        ]
    times = {"timestamp": (chunk.start, chunk.end)} if form.times else {}
    return [{**named, **times, "text": decode(chunk.ids)}]


def transcript(
    chunks: Sequence[SpokenChunk], form: TranscriptForm, decode: Decode, language: str | None
) -> dict[str, Any]:
    """The result of one sound."""
    result: dict[str, Any] = {"text": "".join(decode(chunk.ids) for chunk in chunks)}
    if form.times or form.languages:
        result["chunks"] = [entry for chunk in chunks for entry in entries(chunk, form, decode, language)]
    return result
