"""A bar on stderr in seconds of sound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

from onnxpress.audio.opening import SoundSource
from onnxpress.pipelines.progress import BAR_DELAY_S
from onnxpress.speech.features import LongSound

if TYPE_CHECKING:
    from tqdm import tqdm


class SecondsBar:
    """A bar in seconds of sound, which is erased at its end; none is drawn of what takes less than 2 s.

    Args:
        total: seconds; None: not known.
    """

    def __init__(self, total: float | None, *, drawn: bool = True) -> None:
        self._bar: tqdm[Any] | None = None
        if drawn:
            from tqdm import tqdm

            whole = None if total is None else round(total)
            self._bar = tqdm(total=whole, unit=" s of sound", delay=BAR_DELAY_S, miniters=1, leave=False)
        self._seconds = 0.0

    @classmethod
    def of(cls, drawn: bool, sounds: Sequence[SoundSource | LongSound | int], rate: int = 1) -> SecondsBar:
        """Of sounds, each what reads it or its number of samples at a rate; none if it is not to be drawn."""
        if not drawn:
            return cls(None, drawn=False)
        lengths = [_seconds_of(sound, rate) for sound in sounds]
        known = [length for length in lengths if length is not None]
        return cls(sum(known) if len(known) == len(lengths) else None)

    def moved(self, seconds: float) -> None:
        """So many seconds more were heard."""
        self._seconds += seconds
        if self._bar is not None:
            self._bar.update(int(self._seconds) - self._bar.n)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        if self._bar is not None:
            self._bar.close()


def _seconds_of(sound: SoundSource | LongSound | int, rate: int) -> float | None:
    if isinstance(sound, SoundSource):
        return sound.expected_seconds()
    samples = sound.samples if isinstance(sound, LongSound) else sound
    return None if samples is None else samples / rate
