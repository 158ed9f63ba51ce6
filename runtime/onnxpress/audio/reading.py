"""Reads files of sound, block by block: what libsndfile opens, and through PyAV, where it is installed, other files
(MP4, M4A, WebM, films). The only importer of soundfile and av."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from io import BytesIO
from math import ceil
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from onnxpress.audio.limits import MAX_CHANNELS, SoundLimits
from onnxpress.errors import InputError, MissingDependency
from onnxpress.fetching.files import open_media
from onnxpress.fetching.limits import FetchLimits
from onnxpress.format.callers_files import MediaKind, open_file
from onnxpress.format.sounds import RATES

#: float32 (samples, channels).
Block = NDArray[np.float32]

#: Numbers that are read from a file at a time.
_NUMBERS = 1 << 20

_KINDS = "a path, bytes, a file object, a float array, or {'array': ..., 'sampling_rate': ...}"
SOUND = MediaKind("sound", _KINDS, "audio/wav")


@dataclass(frozen=True, slots=True)
class Sounding:
    """A file that is open: what to call it, its own rate, how many samples it says that it has (0: it does not say),
    and its blocks, float32 (samples, channels)."""

    name: str
    rate: int
    samples: int
    blocks: Iterator[Block]


def opener_of(raw: Any, urls: FetchLimits | None = None) -> Callable[[], tuple[str, BinaryIO]]:
    """What opens a file at its beginning, as often as it is called: what to call it, and the file. One that a caller
    has open is read now: it may be closed by then; and what an address holds. `urls`: what fetching it may take.

    Raises:
        InputError: it is none, or cannot be fetched.
    """
    name, source = open_media(raw, SOUND, urls)
    if isinstance(source, BytesIO):
        content = source.getvalue()
        return lambda: (name, BytesIO(content))
    source.close()
    return lambda: open_file(raw, SOUND)


def read_file(name: str, source: BinaryIO, opened: ExitStack, limits: SoundLimits) -> Sounding:
    """Read a file, which `opened` closes. `name`: what to call it.

    Raises:
        InputError: it is damaged, or too long.
        MissingDependency: what reads it is not installed.
    """
    opened.enter_context(source)
    try:
        import soundfile
    except ImportError as error:
        raise MissingDependency("Files of sound need soundfile: `pip install 'onnxpress[audio]'`.") from error

    try:
        file = opened.enter_context(soundfile.SoundFile(source))
    except Exception as error:  # soundfile raises its own kind, and TypeError of what it takes for raw samples
        through_av = _through_av(name, source, opened, limits)
        if through_av is None:
            raise _damaged(name, error) from error
        return through_av
    check_sound(name, file.samplerate, file.channels, file.frames, limits)
    return Sounding(name, file.samplerate, file.frames, _blocks(name, file))


def check_sound(name: str, rate: int, channels: int, samples: int, limits: SoundLimits) -> None:
    """Refuse what a header says, before anything is read.

    Raises:
        InputError: a rate or a number of channels that is not read, or too many samples.
    """
    if rate not in RATES:
        raise InputError(f"{name} has {rate} samples a second; {RATES.start} to {RATES.stop - 1} are read.")
    if channels > MAX_CHANNELS:
        raise InputError(f"{name} has {channels} channels; at most {MAX_CHANNELS} are read.")
    limits.check_length(name, samples, rate)


def _blocks(name: str, file: Any) -> Iterator[Block]:
    while True:
        try:
            block: Block = file.read(max(1, _NUMBERS // file.channels), "float32", always_2d=True)
        except Exception as error:
            raise _damaged(name, error) from error
        if not len(block):
            return
        yield block


def _through_av(name: str, source: BinaryIO, opened: ExitStack, limits: SoundLimits) -> Sounding | None:
    """The first sound of a file that libsndfile does not open; None: PyAV is not installed, or opens it neither."""
    try:
        import av
    except ImportError:
        return None
    try:
        source.seek(0)
        container = opened.enter_context(closing(av.open(source, mode="r")))
        stream = container.streams.audio[0]
        rate, channels = int(stream.rate or 0), int(stream.channels or 1)
        seconds = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
    except Exception:  # av raises a kind for each error of FFmpeg, and IndexError where there is no sound
        return None
    check_sound(name, rate, channels, ceil(seconds * rate), limits)
    return Sounding(name, rate, ceil(seconds * rate), _decoded(name, av, container, stream, rate))


def _decoded(name: str, av: Any, container: Any, stream: Any, rate: int) -> Iterator[Block]:
    """Frames as planes of floats."""
    resampler = av.AudioResampler(format="fltp", rate=rate)
    try:
        for frame in container.decode(stream):
            for part in resampler.resample(frame):
                yield part.to_ndarray().T
        for part in resampler.resample(None):
            yield part.to_ndarray().T
    except Exception as error:
        raise _damaged(name, error) from error


def _damaged(name: str, error: Exception) -> InputError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return InputError(
        f"{name} is damaged, or no sound of a format that is read (WAV, FLAC, OGG, Opus, MP3, AIFF and others of "
        f"libsndfile; MP4, M4A and WebM with `pip install 'onnxpress[audio-av]'`): {reason}"[:360]
    )
