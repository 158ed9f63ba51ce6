"""Recordings to be transcribed, synthesized: a voice-like sound that says nothing, the same for the same seed.

How long a model takes depends on the length of a recording and of its transcript, not on what is said. An item is
{"audio": path of a .npy file, "rate_hz": n}, its answer {"text": ...}. A file, because a recording as JSON would take
longer to read than some models to load.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxpress_bench.workloads import Inputs, Model, Sizes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from onnxpress_bench.backends import Transcribes
    from onnxpress_bench.comparison import Settings

RATE_HZ = 16_000

#: Of each length.
RECORDINGS = 3

#: What Whisper hears at once. Longer recordings are cut in ways that differ between libraries.
LONGEST_S = 30

#: Syllables a second, and the range of a voice's pitch in Hz.
_SYLLABLES_PER_S, _PITCH_HZ = 4.0, (90.0, 220.0)

#: First and second formants of five vowels in Hz. (G. Peterson, H. Barney, J. Acoust. Soc. Am. 24, 1952.)
_FORMANTS_HZ = ((270, 2290), (530, 1840), (730, 1090), (570, 840), (300, 870))
_FORMANT_WIDTH_HZ, _HARMONICS = 120.0, 24


def answer(backend: Transcribes, items: Sequence[Any]) -> Sequence[Any]:
    """One recording after the other."""
    return [{"text": backend.transcribe(read_recording(item), item["rate_hz"])} for item in items]


def make_inputs(model: Model, settings: Settings, sizes: Sizes) -> Inputs:
    """Recordings of each length, written where they are kept for later runs.

    Raises:
        InputError: a length that is none, or a folder that cannot be written.
    """
    from onnxpress.errors import InputError
    from onnxpress_bench import environments

    if not sizes.audio_s or not all(1 <= seconds <= LONGEST_S for seconds in sizes.audio_s):
        raise InputError(f"Lengths of recordings are whole seconds, from 1 to {LONGEST_S}.")
    store, seed = environments.home() / "recordings", settings.seed
    recordings = {
        str(seconds): [
            {"audio": str(write_recording(store, seconds, seed + index)), "rate_hz": RATE_HZ}
            for index in range(RECORDINGS)
        ]
        for seconds in dict.fromkeys(sizes.audio_s)
    }
    stream = [item for items in recordings.values() for item in items]
    parameters = {"audio": {"recordings": recordings}}
    described = {"transcript_tokens": sizes.transcript_tokens}
    return Inputs("recordings", stream[0], stream, parameters=parameters, settings=described)


def read_recording(item: Mapping[str, Any]) -> NDArray[np.float32]:
    """Mono audio: float32 (samples,) in [-1, 1]."""
    import numpy as np

    recording: NDArray[np.float32] = np.load(item["audio"])
    return recording


def synthesize(seconds: int, seed: int) -> NDArray[np.float32]:
    """float32 (samples,) in [-1, 1] at 16 kHz: harmonics of a drifting pitch, shaped by vowels that change with every
    syllable, a pause here and there, and faint noise."""
    import numpy as np

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

    import numpy as np

    from onnxpress.errors import InputError
    from onnxpress.format.files import write_file

    data = BytesIO()
    np.save(data, synthesize(seconds, seed))
    try:
        store.mkdir(parents=True, exist_ok=True)
        write_file(file, data.getvalue())
    except OSError as error:
        raise InputError(f"{store}: recordings cannot be written here ({error.strerror}).") from None
    return file
