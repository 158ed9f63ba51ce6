"""The sounds that quantization watches and, others, that it is judged by, made by arithmetic.

Voices, chords, chirps, beats and coloured noise, of several lengths and loudnesses. No sound is in both. This module
knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

#: float32 (samples,), from -1 to 1.
Sound = NDArray[np.float32]

#: How many there are of each.
CALIBRATION, JUDGED = 30, 40

#: Where the numbers of each begin.
_CALIBRATION_SEED, _JUDGED_SEED = 1_000, 2_000

_SECONDS = (1.0, 2.3, 0.7, 3.9, 1.6)

#: From whispered to loud.
_LOUDNESS = (0.02, 0.8)


@lru_cache(maxsize=4)
def calibration_sounds(rate: int) -> Sequence[Sound]:
    """The sounds that the ranges of quantization are taken from."""
    return tuple(_made(_CALIBRATION_SEED + number, rate) for number in range(CALIBRATION))


@lru_cache(maxsize=4)
def judged_sounds(rate: int) -> Sequence[Sound]:
    """The sounds that a variant's answers are compared on."""
    return tuple(_made(_JUDGED_SEED + number, rate) for number in range(JUDGED))


def verification_sounds(rate: int) -> Sequence[tuple[str, Sound]]:
    """Awkward sounds, with their names: very short, very soft, clipped, and one of every kind.

    Silence is none of them: layers that divide by the spread of their values make noise of it, in PyTorch too.
    """
    generator = np.random.default_rng(7)
    noise = generator.uniform(-1, 1, rate).astype(np.float32)
    return (
        ("a short noise", noise[: rate // 20]),
        ("a soft noise", noise[: rate // 2] * np.float32(1e-3)),
        ("a clipped voice", np.clip(20 * voice(rate, 0.9, 3), -1, 1)),
        *((make.__name__.strip("_"), _made(20 + kind, rate)) for kind, make in enumerate(KINDS)),
    )


def voice(rate: int, seconds: float, seed: int) -> Sound:
    """Harmonics of a pitch that rises and falls, in syllables, with a little breath."""
    return _scaled(_voice(np.random.default_rng(seed), _time(rate, seconds)), 0.3)


def _made(seed: int, rate: int) -> Sound:
    generator = np.random.default_rng(seed)
    seconds = _SECONDS[seed // len(KINDS) % len(_SECONDS)]
    return _scaled(KINDS[seed % len(KINDS)](generator, _time(rate, seconds)), generator.uniform(*_LOUDNESS))


def _time(rate: int, seconds: float) -> NDArray[np.float64]:
    return np.arange(round(rate * seconds)) / rate


def _scaled(values: NDArray[np.float64], peak: float) -> Sound:
    scaled: Sound = (peak * values / max(float(np.abs(values).max()), 1e-9)).astype(np.float32)
    return scaled


def _voice(generator: np.random.Generator, time: NDArray[np.float64]) -> NDArray[np.float64]:
    base = generator.uniform(90, 260)
    turns = 2 * np.pi * (base * time + generator.uniform(2, 9) * np.sin(2 * np.pi * generator.uniform(0.5, 3) * time))
    formants = generator.uniform(300, 3000, 3)
    values = np.zeros_like(time)
    for harmonic in range(1, int(4000 / base)):
        strength = np.exp(-(((harmonic * base - formants) / 250) ** 2)).sum() + 0.02
        values += strength * np.sin(harmonic * turns) / np.sqrt(harmonic)
    syllables = np.clip(np.sin(2 * np.pi * generator.uniform(2, 5) * time + generator.uniform(0, 6)), 0, 1)
    return np.asarray(values * syllables + 0.01 * generator.standard_normal(len(time)))


def _chord(generator: np.random.Generator, time: NDArray[np.float64]) -> NDArray[np.float64]:
    notes = 110 * 2 ** (generator.integers(0, 36, 4) / 12)
    values = sum(np.sin(2 * np.pi * note * time) * np.exp(-time * generator.uniform(0.2, 2)) for note in notes)
    return np.asarray(values + 0.003 * generator.standard_normal(len(time)))


def _chirp(generator: np.random.Generator, time: NDArray[np.float64]) -> NDArray[np.float64]:
    first, last = generator.uniform(100, 4000, 2)
    rising = first * time + (last - first) * time**2 / (2 * max(float(time[-1]), 1e-3))
    return np.asarray(np.sin(2 * np.pi * rising) + 0.01 * generator.standard_normal(len(time)))


def _beats(generator: np.random.Generator, time: NDArray[np.float64]) -> NDArray[np.float64]:
    since = time % generator.uniform(0.15, 0.6)
    noise = generator.standard_normal(len(time))
    return np.asarray(np.exp(-since * generator.uniform(20, 80)) * noise + 0.005 * noise)


def _noise(generator: np.random.Generator, time: NDArray[np.float64]) -> NDArray[np.float64]:
    """Its power falls with the frequency, as that of wind, rain or streets."""
    spectrum = np.fft.rfft(generator.standard_normal(len(time)))
    falling = np.maximum(np.arange(len(spectrum)), 1) ** -generator.uniform(0.0, 1.0)
    return np.asarray(np.fft.irfft(spectrum * falling, len(time)))


#: Generator and seconds, float64 (samples,) -> float64 (samples,) of any loudness.
KINDS: tuple[Callable[[np.random.Generator, NDArray[np.float64]], NDArray[np.float64]], ...] = (
    _voice,
    _chord,
    _chirp,
    _beats,
    _noise,
)
