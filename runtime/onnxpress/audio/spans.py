"""Where somebody speaks: spans of probabilities, as they come. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from onnxpress.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceSettings:
    """When a sound counts as speech.

    `threshold`: from this probability on, 0 to 1. It ends below that less 0.15, so that it does not flicker.
    `min_silence`: seconds of a pause that ends a span of speech; shorter ones belong to it. `min_speech`: shorter
    spans are none. `pad`: seconds that are heard before and after each span, too; at most half of `min_silence`, so
    that spans do not overlap.
    """

    threshold: float = 0.5
    min_silence: float = 0.5
    min_speech: float = 0.1
    pad: float = 0.2

    def __post_init__(self) -> None:
        if not _number(self.threshold) or not 0 < self.threshold < 1:
            raise InputError(f"vad: threshold is {self.threshold!r:.40}; it must be between 0 and 1.")
        for name in ("min_silence", "min_speech", "pad"):
            value = getattr(self, name)
            if not _number(value) or not 0 <= value < 3600:
                raise InputError(f"vad: {name} is {value!r:.40}; it must be a number of seconds.")


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


@dataclass(frozen=True, slots=True)
class VoiceSpan:
    """Samples [start, stop) in which somebody speaks, but for the last `pad` of them."""

    start: int
    stop: int
    pad: int = 0


#: How far a probability may fall below the threshold before speech ends.
_FALL = 0.15


class SpanFinder:
    """Makes spans of probabilities, each of `step` samples, as they come. For one sound. Spans do not overlap."""

    def __init__(self, settings: VoiceSettings, step: int, rate: int) -> None:
        self._settings, self._step = settings, step
        self._silence, self._speech = (round(value * rate) for value in (settings.min_silence, settings.min_speech))
        self._pad = round(min(settings.pad, settings.min_silence / 2) * rate)
        #: Samples that were heard, and the one before which no further span begins.
        self._at = self._floor = 0
        #: Where the speech that is not over began, and where its last sound ended, while a pause may still be short.
        self._start: int | None = None
        self._quiet: int | None = None

    def add(self, probabilities: Sequence[float]) -> list[VoiceSpan]:
        """The spans that are over now."""
        done: list[VoiceSpan] = []
        for probability in probabilities:
            if probability >= self._settings.threshold:
                self._start = self._at if self._start is None else self._start
                self._quiet = None
            elif self._start is not None and probability < self._settings.threshold - _FALL:
                self._quiet = self._at if self._quiet is None else self._quiet
            self._at += self._step
            if self._quiet is not None and self._at - self._quiet >= self._silence:
                done.extend(self._closed(self._quiet))
        return done

    def end(self, samples: int) -> list[VoiceSpan]:
        """The last span of a sound of so many samples."""
        spans = [] if self._start is None else self._closed(samples if self._quiet is None else self._quiet)
        return [
            VoiceSpan(span.start, stop, max(0, span.pad - (span.stop - stop)))
            for span in spans
            if (stop := min(span.stop, samples)) > span.start
        ]

    @property
    def sure(self) -> int:
        """No span that is still to come begins before this sample."""
        return max(self._floor, (self._at if self._start is None else self._start) - self._pad)

    @property
    def speaking(self) -> VoiceSpan | None:
        """What is spoken now, from where to where."""
        return None if self._start is None else VoiceSpan(self.sure, self._at if self._quiet is None else self._quiet)

    def split(self, at: int) -> None:
        """What is spoken now begins at a sample: the caller has a span of what was before."""
        self._start = self._floor = at

    def _closed(self, stop: int) -> list[VoiceSpan]:
        start, self._start, self._quiet = self._start, None, None
        assert start is not None
        if stop - start < self._speech and start > self._floor:
            return []
        span = VoiceSpan(max(self._floor, start - self._pad), stop + self._pad, self._pad)
        self._floor = span.stop
        return [span]
