"""Frames of a sound that comes block by block: the numbers that `SpectrumTransform` makes of all of it at once."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from onnxpress.audio.spectrum import BLOCK, spectrum_transform
from onnxpress.format.sounds import Spectrum

Floats = NDArray[np.float32]


class FrameMaker:
    """Makes frames of samples as they come. For one sound.

    It transforms as many frames at a time as is done with a whole sound, counted from the same one: products round
    otherwise where they have other rows.
    """

    def __init__(self, step: Spectrum, rate: int) -> None:
        self._step = step
        self._transform = spectrum_transform(step, rate)
        self._edge = 0 if step.edges == "none" else step.fft // 2
        #: Samples that stay, so that what lengthens the sound at its end is known.
        self._spare = max(self._transform.window, self._edge + 1)
        self._parts: list[Floats] = []
        self._waiting = 0
        self._begun = False

    def add(self, samples: Floats) -> Floats:
        """float32 (frames, bands): those that are complete now, of which there may be none."""
        self._parts.append(samples)
        self._waiting += len(samples)
        if self._waiting < BLOCK * self._step.hop + self._spare:
            return self._none()
        sound = self._joined()
        blocks, place, hop = [], 0, self._step.hop
        while len(sound) - place >= BLOCK * hop + self._spare:
            blocks.append(self._frames(sound[place:], BLOCK))
            place += BLOCK * hop
        self._parts, self._waiting = [sound[place:].copy()], len(sound) - place
        return np.concatenate(blocks)

    def end(self) -> Floats:
        """The last frames, once nothing comes any more."""
        if not self._waiting:
            return self._none()
        sound = self._joined()
        if self._edge:
            sound = self._lengthened(sound, 0, self._edge)
        self._parts, self._waiting = [], 0
        count = 1 + (len(sound) - self._transform.window) // self._step.hop - self._step.drop_last
        blocks = [
            self._frames(sound[place * self._step.hop :], min(BLOCK, count - place)) for place in range(0, count, BLOCK)
        ]
        return np.concatenate(blocks) if blocks else self._none()

    def _joined(self) -> NDArray[np.floating]:
        sound = np.concatenate(self._parts).astype(self._transform.dtype, copy=False)
        if self._begun or not self._edge:
            return sound
        self._begun = True
        return self._lengthened(sound, self._edge, 0)

    def _lengthened(self, sound: NDArray[np.floating], before: int, after: int) -> NDArray[np.floating]:
        return np.pad(sound, (before, after), mode="reflect" if self._step.edges == "mirrored" else "constant")

    def _frames(self, sound: NDArray[np.floating], count: int) -> Floats:
        frames = sliding_window_view(sound, self._transform.window)[:: self._step.hop][:count]
        return self._transform.of_frames(frames)

    def _none(self) -> Floats:
        return np.empty((0, self._step.mels.bands), np.float32)
