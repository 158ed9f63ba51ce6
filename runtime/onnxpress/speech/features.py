"""Features of a sound for the windows that are heard of it: made of it at once, or while it is read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from onnxpress.audio.frames import FrameMaker
from onnxpress.audio.opening import Samples, SoundSource
from onnxpress.audio.transform import LongProgram
from onnxpress.engine.stopping import seconds_left

Floats = NDArray[np.float32]


class Features(Protocol):
    """Features of one sound, heard from its beginning to its end. Their numbers are (bands, frames)."""

    @property
    def heard(self) -> int:
        """Frames up to the end of the last window that are no added silence."""

    @property
    def seconds(self) -> float | None:
        """How long the sound is; None: that is not known yet."""

    def goes_on(self, start: int) -> bool:
        """Whether there are frames from `start` on."""

    def window(self, start: int, frames: int) -> Floats:
        """float32 (bands, frames or less) from a frame on; what is before it is not asked for again."""


@dataclass(frozen=True, slots=True)
class WholeFeatures:
    """Those that are all there. `samples`: of the sound, `rate` a second, `hop` of them a frame. `padded`: whether
    added silence is heard to its end, too, as transformers does it of a sound shorter than a window."""

    values: Floats
    samples: int
    rate: int
    hop: int
    padded: bool = True

    @property
    def heard(self) -> int:
        """As `Features` says."""
        return -(-self.samples // self.hop)

    @property
    def seconds(self) -> float:
        """As `Features` says."""
        return self.samples / self.rate

    def goes_on(self, start: int) -> bool:
        """As `Features` says."""
        return start < (int(self.values.shape[1]) if self.padded else self.heard)

    def window(self, start: int, frames: int) -> Floats:
        """As `Features` says."""
        return self.values[:, start : start + frames]


@dataclass(frozen=True, slots=True)
class LongSound:
    """A sound that is longer than a window, and read while it is heard.

    `beginning`: what was read of one that can be read only once, and `rest`, what is not read yet; None: it is read
    from its beginning. `samples`: how many it has, and `greatest`, the greatest number of its frames; None: not known.
    """

    source: SoundSource
    program: LongProgram
    rate: int
    samples: int | None = None
    greatest: float | None = None
    rest: Iterator[Samples] | None = None

    def blocks(self) -> Iterator[Samples]:
        """Its samples."""
        return self.source.blocks() if self.rest is None else self.rest


def surveyed(source: SoundSource, program: LongProgram | None, rate: int, window: int) -> Samples | LongSound:
    """A sound of up to `window` samples; or what there is to know of a longer one, which is not kept.

    It is read to its end, unless it can be read only once: what is wrong with it is found before any of it is heard.

    Raises:
        InputError: as of `SoundSource.blocks`.
        Cancelled, TimeoutExceeded: the call has to end.
    """
    blocks = checked(source.blocks())
    parts: list[Samples] = []
    count = 0
    for block in blocks:
        parts.append(block)
        count += len(block)
        if program is not None and count > window:
            break
    else:
        return np.ascontiguousarray(parts[0] if len(parts) == 1 else np.concatenate(parts))
    if source.once:
        return LongSound(source, program, rate, rest=chain(parts, blocks))
    maker, greatest, count = FrameMaker(program.spectrum, rate), -np.inf, 0
    for block in chain(parts, blocks):
        parts.clear()
        count += len(block)
        greatest = max(greatest, float(maker.add(program.scaled(block)).max(initial=-np.inf)))
    greatest = max(greatest, float(maker.end().max(initial=-np.inf)))
    return LongSound(source, program, rate, count, greatest)


def checked(blocks: Iterator[Samples]) -> Iterator[Samples]:
    """The blocks, as long as the call may go on."""
    for block in blocks:
        seconds_left()
        yield block


class LongFeatures:
    """Features of a long sound, of which the frames of a window are kept. Implements `Features`.

    Where the greatest number is not known before, it is the greatest of what was read.
    """

    def __init__(self, sound: LongSound) -> None:
        self._program, self._rate = sound.program, sound.rate
        self._maker = FrameMaker(sound.program.spectrum, sound.rate)
        self._blocks = checked(sound.blocks())
        self._known = sound.greatest
        self._greatest = -np.inf if sound.greatest is None else sound.greatest
        self._samples, self._ended = 0, False
        #: The frames that are kept, and the number of the first of them.
        self._frames, self._first = np.empty((0, sound.program.spectrum.mels.bands), np.float32), 0

    @property
    def heard(self) -> int:
        """As `Features` says."""
        return -(-self._samples // self._program.spectrum.hop) if self._ended else self._stop

    @property
    def seconds(self) -> float | None:
        """As `Features` says."""
        return self._samples / self._rate if self._ended else None

    def goes_on(self, start: int) -> bool:
        """As `Features` says."""
        self._read(start + 1)
        return start < self._stop

    def window(self, start: int, frames: int) -> Floats:
        """As `Features` says."""
        self._read(start + frames)
        self._frames = self._frames[start - self._first :]
        self._first = start
        finished = self._program.finished(self._frames[:frames], self._greatest)
        return finished if self._program.bands_first else finished.T

    @property
    def _stop(self) -> int:
        return self._first + len(self._frames)

    def _read(self, stop: int) -> None:
        """Read on, until frames up to `stop` are there, if there are so many."""
        parts, count = [self._frames], self._stop
        while count < stop and not self._ended:
            block = next(self._blocks, None)
            if block is None:
                self._ended = True
                parts.append(self._maker.end())
            else:
                self._samples += len(block)
                parts.append(self._maker.add(self._program.scaled(block)))
            count += len(parts[-1])
            if self._known is None:
                self._greatest = max(self._greatest, float(parts[-1].max(initial=-np.inf)))
        if len(parts) > 1:
            self._frames = np.concatenate(parts)
