"""How likely it is that somebody speaks, 50 times a second: a small net of our own on the loudness of bands, in numpy.

`models/recipes/voice.py` trains it; voice.npz holds its weights. It hears how bands change within a second, not how
loud they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from onnxpress.audio.frames import FrameMaker
from onnxpress.format.sounds import MelBank, Spectrum

Floats = NDArray[np.float32]

#: Samples a second that it hears.
RATE = 16_000

#: What it hears of a frame of 32 ms, every 20 ms.
BANDS = Spectrum(
    frame=512, hop=320, fft=512, window="hann", mels=MelBank(24, 80.0, 7600.0, "htk"), edges="zeros",
    periodic=True, drop_last=True, floor=1e-9, single=True,
)  # fmt: skip

#: The frames about a moment that its probability is made of: near ones all, of those further away fewer.
PLACES = (-25, -19, -14, -10, -7, -5, -3, -2, -1, 0, 1, 2, 3, 5, 7, 10, 14, 19, 25)

#: Moments that are computed at a time.
_MOMENTS = 1500

WEIGHTS = Path(__file__).with_name("voice.npz")


class VoiceListener(Protocol):
    """Tells of a sound, as it comes, how likely it is that somebody speaks. For one sound."""

    @property
    def step(self) -> int:
        """Samples of a probability."""

    def add(self, samples: Floats) -> Floats:
        """float32 (moments,): the probabilities that are known now."""

    def end(self) -> Floats:
        """The last ones."""


def contexts(frames: Floats, moments: int) -> Floats:
    """float32 (moments, numbers) of frames (moments and what is about them, bands): what the net is given of each,
    less its mean."""
    reach = PLACES[-1]
    taken = np.concatenate([frames[reach + place : reach + place + moments] for place in PLACES], axis=1)
    taken -= taken.mean(axis=1, keepdims=True)
    return taken * np.float32(0.25)


@lru_cache(maxsize=1)
def weights() -> Mapping[str, Floats]:
    """The net's."""
    with np.load(WEIGHTS) as file:
        return {name: file[name].astype(np.float32) for name in file.files}


class SmallVoiceNet:
    """Implements `VoiceListener`."""

    step = BANDS.hop

    def __init__(self) -> None:
        self._maker = FrameMaker(BANDS, RATE)
        self._frames: Floats | None = None

    def add(self, samples: Floats) -> Floats:
        """As `VoiceListener` says."""
        return self._heard(self._maker.add(samples))

    def end(self) -> Floats:
        """As `VoiceListener` says."""
        last = self._heard(self._maker.end())
        if self._frames is None:
            return last
        after = np.repeat(self._frames[-1:], PLACES[-1], axis=0)
        return np.concatenate([last, self._heard(after)])

    def _heard(self, frames: Floats) -> Floats:
        """The probabilities of the moments of which all about them is known."""
        if not len(frames):
            return np.empty(0, np.float32)
        reach = PLACES[-1]
        before = np.repeat(frames[:1], reach, axis=0) if self._frames is None else self._frames
        frames = np.concatenate([before, frames])
        moments = len(frames) - 2 * reach
        if moments < 1:
            self._frames = frames
            return np.empty(0, np.float32)
        self._frames = frames[moments:]
        parts = range(0, moments, _MOMENTS)
        return np.concatenate(
            [_probabilities(contexts(frames[part:], min(_MOMENTS, moments - part))) for part in parts]
        )


def _probabilities(numbers: Floats) -> Floats:
    net: Mapping[str, Any] = weights()
    hidden = np.maximum(numbers @ net["first"] + net["first_bias"], 0.0)
    hidden = np.maximum(hidden @ net["second"] + net["second_bias"], 0.0)
    scores = hidden @ net["last"] + net["last_bias"]
    probabilities: Floats = 1.0 / (1.0 + np.exp(-scores.clip(-30.0, 30.0)))
    return probabilities
