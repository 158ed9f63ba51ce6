"""Recordings for speech recognition, synthesized: a voice-like sound that says nothing, the same for the same seed.

How long a model takes depends on the length of a recording and of its transcript, not on what is said. Knows no model.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onnxpress.errors import InputError

RATE_HZ = 16_000

#: Syllables a second, and the range of a voice's pitch in Hz.
_SYLLABLES_PER_S, _PITCH_HZ = 4.0, (90.0, 220.0)

#: First and second formants of five vowels in Hz. (G. Peterson, H. Barney, J. Acoust. Soc. Am. 24, 1952.)
_FORMANTS_HZ = ((270, 2290), (530, 1840), (730, 1090), (570, 840), (300, 870))
_FORMANT_WIDTH_HZ, _HARMONICS = 120.0, 24


def synthesize(seconds: int, seed: int) -> NDArray[np.float32]:
    """float32 (samples,) in [-1, 1] at 16 kHz: harmonics of a drifting pitch, shaped by vowels that change with every
    syllable, a pause here and there, and faint noise."""
    rng = np.random.default_rng([seed, seconds])
    size = seconds * RATE_HZ
    time = np.arange(size) / RATE_HZ
    syllables = int(np.ceil(seconds * _SYLLABLES_PER_S))
    which = np.minimum((time * _SYLLABLES_PER_S).astype(int), syllables - 1)
    low, high = _PITCH_HZ
    knots = rng.uniform(low, high, syllables + 1)
    pitch = np.interp(time * _SYLLABLES_PER_S, np.arange(syllables + 1), knots)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE_HZ
    formants = np.array(_FORMANTS_HZ, dtype=np.float64)[rng.integers(len(_FORMANTS_HZ), size=syllables)][which]
    sound = np.zeros(size)
    for harmonic in range(1, _HARMONICS + 1):
        apart = (harmonic * pitch[:, None] - formants) / _FORMANT_WIDTH_HZ
        sound += (1 / (1 + apart**2)).sum(axis=1) * np.sin(harmonic * phase)
    loudness = rng.uniform(0.4, 1.0, syllables) * (rng.random(syllables) > 0.12)
    envelope = loudness[which] * np.sin(np.pi * ((time * _SYLLABLES_PER_S) % 1)) ** 0.5
    sound = sound * envelope + 0.01 * rng.standard_normal(size)
    scaled: NDArray[np.float32] = (0.5 * sound / np.abs(sound).max()).astype(np.float32)
    return scaled


def write_recording(store: Path, seconds: int, seed: int) -> Path:
    """The recording as a .npy file in `store`, written unless it is there.

    Raises:
        InputError: `store` cannot be written.
    """
    file = store / f"voice-{seconds}s-{seed}.npy"
    if file.is_file():
        return file
    from io import BytesIO

    from onnxpress.format.files import write_file

    data = BytesIO()
    np.save(data, synthesize(seconds, seed))
    try:
        store.mkdir(parents=True, exist_ok=True)
        write_file(file, data.getvalue())
    except OSError as error:
        raise InputError(f"{store}: recordings cannot be written here ({error.strerror}).") from None
    return file
