"""Windows that a sound is cut into before any of it is heard: where nobody speaks, or else where it is quietest.

A window is at most so long; windows do not overlap. With a listener for voices, what is between spans of speech is left
out where a window ends there; a window of several spans has the pauses between them, so that its times are those of
the sound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxpress.audio.opening import Samples
from onnxpress.audio.spans import SpanFinder, VoiceSettings, VoiceSpan
from onnxpress.audio.voice import VoiceListener

#: Seconds between places where a sound may be cut, and over which it is measured how loud it is there.
_STEP_S, _ABOUT_S = 0.01, 0.2

#: Of the longest window, what is heard at least before it is cut.
_LEAST = 0.5

#: Seconds of samples that a listener for voices is given at a time.
_PART_S = 1.0


@dataclass(frozen=True, slots=True)
class CutWindow:
    """float32 samples of a sound, from sample number `start` on."""

    start: int
    samples: Samples

    @property
    def stop(self) -> int:
        """The sample after its last."""
        return self.start + len(self.samples)


@dataclass(frozen=True, slots=True)
class VoiceActivity:
    """How it is told where somebody speaks: what makes a listener for a sound, and when a sound counts as speech."""

    listener: Callable[[], VoiceListener]
    settings: VoiceSettings


def cut_windows(
    blocks: Iterator[Samples], rate: int, length: int, voice: VoiceActivity | None = None
) -> Iterator[CutWindow]:
    """The windows of a sound that comes block by block, each of at most `length` samples; they are handed out as soon
    as it is known where they end."""
    sound = _Buffer(rate)
    if voice is None:
        yield from _by_loudness(sound, blocks, length)
    else:
        yield from _by_voice(sound, blocks, length, voice)


def _by_loudness(sound: _Buffer, blocks: Iterator[Samples], length: int) -> Iterator[CutWindow]:
    start = 0
    for block in blocks:
        sound.add(block)
        while sound.stop - start > length + sound.about:
            cut = sound.quietest(start + round(_LEAST * length), start + length)
            yield sound.window(start, cut)
            start = cut
    while sound.stop > start:
        cut = sound.quietest(start + round(_LEAST * length), start + length)
        cut = sound.stop if sound.stop - start <= length else cut
        yield sound.window(start, cut)
        start = cut


def _by_voice(sound: _Buffer, blocks: Iterator[Samples], length: int, voice: VoiceActivity) -> Iterator[CutWindow]:
    begun: VoiceSpan | None = None
    for spans, sure in _spans(sound, blocks, length, voice):
        for span in spans:
            if begun is not None and span.stop - begun.start <= length:
                begun = VoiceSpan(begun.start, span.stop)
            else:
                if begun is not None:
                    yield sound.window(begun.start, begun.stop)
                begun = span
        if begun is not None and sure - begun.start > length:  # nothing that is still to come fits
            yield sound.window(begun.start, begun.stop)
            begun = None
        sound.forget(sure if begun is None else begun.start)
    if begun is not None:
        yield sound.window(begun.start, begun.stop)


def _spans(
    sound: _Buffer, blocks: Iterator[Samples], length: int, voice: VoiceActivity
) -> Iterator[tuple[list[VoiceSpan], int]]:
    """The spans that are known after each part of a sound, none longer than `length`, and up to where all are known."""
    listener = voice.listener()
    finder = SpanFinder(voice.settings, listener.step, sound.rate)
    step = round(_PART_S * sound.rate)

    def pieces(span: VoiceSpan) -> Iterator[VoiceSpan]:
        while span.stop - span.pad - span.start > length:
            cut = sound.quietest(span.start + round(_LEAST * length), span.start + length)
            yield VoiceSpan(span.start, cut)
            span = VoiceSpan(cut, span.stop, span.pad)
        yield VoiceSpan(span.start, min(span.stop, span.start + length))

    for block in blocks:
        for start in range(0, len(block), step):
            part = block[start : start + step]
            sound.add(part)
            spans = [piece for span in finder.add(listener.add(part).tolist()) for piece in pieces(span)]
            while (speaking := finder.speaking) is not None and speaking.stop - speaking.start > length + sound.about:
                spans.append(next(pieces(speaking)))
                finder.split(spans[-1].stop)
            yield spans, finder.sure
    yield [piece for span in finder.add(listener.end().tolist()) for piece in pieces(span)], finder.sure
    yield [piece for span in finder.end(sound.stop) for piece in pieces(span)], sound.stop


class _Buffer:
    """What was read of a sound and may still be asked for."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        #: Samples behind a place that tell how loud it is there.
        self.about = round(_ABOUT_S * rate)
        self._parts: list[Samples] = []
        self._first = 0
        self.stop = 0

    def add(self, samples: Samples) -> None:
        self._parts.append(samples)
        self.stop += len(samples)

    def window(self, start: int, stop: int) -> CutWindow:
        """The samples from `start` to `stop`; those before `stop` are not asked for again."""
        samples = self._between(start, stop).copy()
        self.forget(stop)
        return CutWindow(start, samples)

    def forget(self, before: int) -> None:
        while self._parts and self._first < before:
            part = self._parts[0]
            dropped = min(len(part), before - self._first)
            self._first += dropped
            # What is left of a joined part would keep all of it.
            self._parts[:1] = [part[dropped:].copy()] if dropped < len(part) else []

    def quietest(self, first: int, last: int) -> int:
        """Where between two samples it is quietest, at `last` at the latest."""
        step, about = round(_STEP_S * self.rate), round(_ABOUT_S / _STEP_S)
        begin = max(self._first, first - about // 2 * step)
        sound = self._between(begin, min(self.stop, last + about // 2 * step))
        count = len(sound) // step
        if count <= about:
            return last
        power = np.square(sound[: count * step]).reshape(count, step).sum(axis=1, dtype=np.float64)
        sums = np.concatenate([[0.0], power.cumsum()])
        loudness: NDArray[np.float64] = sums[about:] - sums[:-about]
        places = begin + (np.arange(len(loudness)) + about // 2) * step
        allowed = (places >= first) & (places <= last)
        if not allowed.any():
            return last
        loudness = np.where(allowed, np.maximum(loudness, 0.0), np.inf)
        # Of equally quiet places the last: windows are as long as they may be.
        return int(places[len(loudness) - 1 - int(loudness[::-1].argmin())])

    def _between(self, start: int, stop: int) -> Samples:
        if len(self._parts) > 1:
            self._parts = [np.concatenate(self._parts)]
        return self._parts[0][start - self._first : stop - self._first]
