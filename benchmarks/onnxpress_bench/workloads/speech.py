"""Recordings to be transcribed: speech that the exporter judges models by, of a real speaker and of a program.

How long a model takes depends on the length of a recording and of its transcript: speech has the transcripts of speech.
An item is {"audio": path of a .npy file, "rate_hz": n}, its answer {"text": ...}. A file, because a recording as JSON
would take longer to read than some models to load.
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

#: What Whisper hears at once. Longer recordings are cut in ways that differ between libraries, and are for runs that
#: measure windows side by side.
LONGEST_S, LONGEST_CUT_S = 30, 3600


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

    longest = LONGEST_CUT_S if sizes.transcript_batch else LONGEST_S
    if not sizes.audio_s or not all(1 <= seconds <= longest for seconds in sizes.audio_s):
        raise InputError(f"Lengths of recordings are whole seconds, from 1 to {longest}.")
    if sizes.recordings < 1:
        raise InputError(f"{sizes.recordings} recordings of a length are nothing to measure: pass 1 or more.")
    if sizes.transcript_beams < 1:
        raise InputError(f"{sizes.transcript_beams} beams transcribe nothing: pass 1 or more.")
    store, seed = environments.home() / "recordings", settings.seed
    recordings = {
        str(seconds): [
            {"audio": str(write_recording(store, seconds, seed + index)), "rate_hz": RATE_HZ}
            for index in range(sizes.recordings)
        ]
        for seconds in dict.fromkeys(sizes.audio_s)
    }
    stream = [item for items in recordings.values() for item in items]
    parameters = {"audio": {"recordings": recordings}}
    described = {f"transcript_{name}": getattr(sizes, f"transcript_{name}") for name in ("tokens", "beams", "batch")}
    judged = stream[: sizes.recordings] if sizes.transcript_batch else ()
    return Inputs("recordings", stream[0], stream, parameters=parameters, judged=judged, settings=described)


def read_recording(item: Mapping[str, Any]) -> NDArray[np.float32]:
    """Mono audio: float32 (samples,) in [-1, 1]."""
    import numpy as np

    recording: NDArray[np.float32] = np.load(item["audio"])
    return recording


def spoken(seconds: int, seed: int) -> NDArray[np.float32]:
    """float32 (samples,) in [-1, 1] at 16 kHz: whole sentences, one after the other, as many as fit, and silence. There
    is none twice, but in what is longer than Whisper hears at once."""
    import numpy as np

    from onnxpress_exporter.judging.speech import judged_speech

    clips, size = judged_speech(RATE_HZ), seconds * RATE_HZ
    sound, place = np.zeros(size, np.float32), 0
    times = 1 if seconds <= LONGEST_S else size // min(map(len, clips))
    for number in range(times * len(clips)):
        clip = clips[(seed + number) % len(clips)]
        if place + len(clip) <= size:
            sound[place : place + len(clip)] = clip
            place += len(clip)
    if not place:  # no sentence is so short
        sound[:] = clips[seed % len(clips)][:size]
    return sound


def write_recording(store: Path, seconds: int, seed: int) -> Path:
    """The recording as a .npy file in `store`, written unless it is there.

    Raises:
        InputError: `store` cannot be written.
    """
    file = store / f"speech-{seconds}s-{seed}.npy"
    if file.is_file():
        return file
    from io import BytesIO

    import numpy as np

    from onnxpress.errors import InputError
    from onnxpress.format.files import write_file

    data = BytesIO()
    np.save(data, spoken(seconds, seed))
    try:
        store.mkdir(parents=True, exist_ok=True)
        write_file(file, data.getvalue())
    except OSError as error:
        raise InputError(f"{store}: recordings cannot be written here ({error.strerror}).") from None
    return file
