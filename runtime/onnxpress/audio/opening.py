"""Opens a sound from what a caller has: a path, bytes, a file object, a data URI, an array, blocks that come one after
the other, or a mapping with a rate.

What comes out is as transformers opens files (`transformers.audio_utils.load_audio` with soundfile): the mean of the
channels, resampled by soxr's `soxr_hq`. What it turns into noise without a word (arrays of integers, several channels
taken for several sounds, numbers that are none) is scaled, mixed or refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from itertools import chain
from math import ceil
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from onnxpress.audio.limits import MAX_CHANNELS, MAX_SAMPLES, SoundLimits
from onnxpress.audio.reading import SOUND, opener_of, read_file
from onnxpress.errors import InputError, MissingDependency
from onnxpress.format.sounds import RATES

Samples = NDArray[np.float32]

__all__ = ["MAX_CHANNELS", "MAX_SAMPLES", "Samples", "SoundSource", "open_sound"]

#: An axis of at most so many entries is that of the channels of an array.
_FEW = 8

#: Samples of an array that are made floats at a time.
_PART = 1 << 20

#: Seconds that are read beyond what is enough, so that resampling sees no end there.
_MARGIN_S = 0.25

#: Seconds of a stream that may go on for ever.
_EVER_S = 1e12

_ANY = SoundLimits()


def open_sound(raw: Any, rate: int, channel: int | None = None, limits: SoundLimits = _ANY) -> Samples:
    """float32 (samples,) at `rate`, from -1 to 1: all of a sound, or as much of it as the limits say is enough.

    Arguments and errors: as of `SoundSource`.
    """
    parts = list(SoundSource(raw, rate, channel, limits).blocks())
    return np.ascontiguousarray(parts[0] if len(parts) == 1 else np.concatenate(parts), np.float32)


class SoundSource:
    """A sound that is read block by block, from its beginning, as often as it is asked for.

    Args:
        raw: a path, bytes, a binary file object or a data URI of a file, and an address where the limits allow it; an
            array at `rate`, (samples,), (samples, channels) or (channels, samples), of floats or of integers, which are
            divided by the greatest of their kind; or a mapping of "array", "raw" or "blocks" (arrays that follow each
            other, such as a microphone's) and "sampling_rate", or of "path" or "bytes".
        rate: samples a second of the blocks.
        channel: which channel is heard, from 0; None: the mean of all.
        limits: how much of it is read.

    Raises:
        InputError: it is none of these, or cannot be fetched.
        Cancelled, TimeoutExceeded: the call that it is fetched for has to end.
    """

    def __init__(self, raw: Any, rate: int, channel: int | None = None, limits: SoundLimits = _ANY) -> None:
        if channel is not None and (not isinstance(channel, int) or isinstance(channel, bool) or channel < 0):
            raise InputError(
                f"channel is {channel!r}; it must be a number from 0, or None for the mean of all channels."
            )
        self._rate, self._channel, self._limits = rate, channel, limits
        self._own_rate = rate
        if isinstance(raw, Mapping):
            raw, self._own_rate = _unwrapped(raw, rate)
        self._raw = raw
        #: Whether it can be read only once: blocks come from who makes them while they are read.
        self.once = isinstance(raw, _Blocks) and isinstance(raw.blocks, Iterator)
        self._file: Callable[[], tuple[str, BinaryIO]] | None = None
        if not (isinstance(raw, _Blocks) or hasattr(raw, "__array__")):
            self._file = opener_of(raw, limits.urls)

    def blocks(self) -> Iterator[Samples]:
        """float32 (samples,) one after the other, from -1 to 1, none of them empty.

        Raises:
            InputError: it is damaged, empty, too long, or has numbers that are none.
            MissingDependency: what reads it is not installed.
        """
        limits = self._limits
        with ExitStack() as opened:
            if self._file is not None:
                file = read_file(*self._file(), opened, limits)
                name, rate = file.name, file.rate
                parts: Iterator[Samples] = (_mixed(block, self._channel, name) for block in file.blocks)
            elif isinstance(self._raw, _Blocks):
                name, rate = "The stream", self._own_rate
                if self.once and limits.endless:
                    limits = replace(limits, enough=limits.enough or _EVER_S)
                parts = (part for block in self._raw.blocks for part in _of_array(np.asarray(block), self._channel))
            else:
                name, rate, array = "The array", self._own_rate, np.asarray(self._raw)
                limits.check_length(name, max(array.shape, default=0), rate)
                parts = _of_array(array, self._channel)
            yield from _resampled(_checked(name, parts, rate, limits), rate, self._rate)

    def expected_seconds(self) -> float | None:
        """How long it says that it is; None: it does not say."""
        if self._file is None:
            if isinstance(self._raw, _Blocks):
                return None
            return max(np.shape(self._raw), default=0) / self._own_rate
        with ExitStack() as opened:
            file = read_file(*self._file(), opened, self._limits)
            return file.samples / file.rate if file.samples else None


def _checked(name: str, parts: Iterator[Samples], rate: int, limits: SoundLimits) -> Iterator[Samples]:
    """The parts that are not empty, and no more of them than is enough."""
    enough = limits.samples(rate)
    if enough is not None:
        enough += ceil(_MARGIN_S * rate)
    count = 0
    for part in parts:
        if not len(part):
            continue
        if enough is not None:
            part = part[: enough - count]
        count += len(part)
        limits.check_length(name, count, rate)
        if not np.isfinite(part).all():
            raise InputError(f"{name} has samples that are no numbers (NaN or infinite): replace them first.")
        yield part
        if enough is not None and count >= enough:
            break
    if not count:
        raise InputError(f"{name} holds no sound.")


class _Blocks:
    """Blocks of a sound that come one after the other."""

    def __init__(self, blocks: Iterable[Any]) -> None:
        self.blocks = blocks


def _unwrapped(raw: Mapping[str, Any], rate: int) -> tuple[Any, int]:
    """What a mapping holds, and the rate of its array; as transformers and datasets have them."""
    if raw.get("blocks") is not None:
        blocks = raw["blocks"]
        if not isinstance(blocks, Iterable) or isinstance(blocks, (str, bytes)) or "sampling_rate" not in raw:
            raise InputError("{'blocks': ...} must be arrays that follow each other, beside a 'sampling_rate'.")
        return _Blocks(blocks), _checked_rate(raw["sampling_rate"], "sampling_rate")
    for name in ("raw", "array"):
        if raw.get(name) is not None:
            if "sampling_rate" not in raw:
                raise InputError(f"The mapping has {name!r} and no 'sampling_rate': add it, in samples a second.")
            return np.asarray(raw[name]), _checked_rate(raw["sampling_rate"], "sampling_rate")
    for name in ("bytes", "path"):
        if raw.get(name) is not None:
            return raw[name], rate
    raise InputError(f"A sound is expected: {SOUND.forms}; the mapping has {', '.join(map(repr, raw)) or 'nothing'}.")


def _checked_rate(rate: Any, name: str) -> int:
    if isinstance(rate, bool) or not isinstance(rate, (int, np.integer)) or int(rate) not in RATES:
        raise InputError(f"{name} is {rate!r:.40}; it must be from {RATES.start} to {RATES.stop - 1} samples a second.")
    return int(rate)


def _of_array(array: NDArray[Any], channel: int | None) -> Iterator[Samples]:
    """float32 (samples,) of parts of an array, one after the other; its channels are on the axis with few entries."""
    if array.dtype.kind not in "fiu":
        raise InputError(f"An array of samples must hold floats from -1 to 1, or integers, not {array.dtype}.")
    if not array.size:
        return
    if array.ndim == 2:
        if min(array.shape) > _FEW:
            raise InputError(
                f"An array of samples must be (samples,), (samples, channels) or (channels, samples), with at most "
                f"{_FEW} channels, not {tuple(array.shape)}. Pass several sounds as a list."
            )
        array = array if array.shape[1] <= array.shape[0] else array.T
    elif array.ndim != 1:
        raise InputError(f"An array of samples must be (samples,) or (samples, channels), not {tuple(array.shape)}.")
    for start in range(0, len(array), _PART):
        yield _mixed(_floats(array[start : start + _PART]), channel, "The array")


def _floats(array: NDArray[Any]) -> NDArray[np.float32]:
    if array.dtype.kind in "iu":
        info = np.iinfo(array.dtype)
        middle = 0 if info.min < 0 else (info.max + 1) // 2
        array = (array.astype(np.float64) - middle) / -float(info.min or -middle)
    return array.astype(np.float32, copy=False)


def _mixed(sound: NDArray[np.float32], channel: int | None, name: str) -> Samples:
    """float32 (samples,) of (samples,) or (samples, channels): the mean of the channels, or one."""
    channels = 1 if sound.ndim == 1 else sound.shape[1]
    if channel is not None and channel >= channels:
        raise InputError(f"channel={channel}: {name[0].lower()}{name[1:]} has {channels}, counted from 0.")
    if sound.ndim == 1:
        return sound
    mixed: Samples = (
        np.ascontiguousarray(sound[:, channel or 0]) if channels == 1 or channel is not None else (sound.mean(axis=1))
    )
    return mixed


def _resampled(parts: Iterator[Samples], own_rate: int, rate: int) -> Iterator[Samples]:
    """As `load_audio`: by soxr, to exactly as many samples as the duration has, rounded up."""
    if own_rate == rate:
        yield from parts
        return
    first = next(parts)  # what is wrong with the sound is told before what is not installed
    try:
        import soxr
    except ImportError as error:
        raise MissingDependency(
            f"The sound has {own_rate} samples a second and the model reads {rate}: to resample it, soxr is needed: "
            "`pip install 'onnxpress[audio]'`."
        ) from error
    stream = soxr.ResampleStream(own_rate, rate, 1, dtype="float32", quality="soxr_hq")
    count = handed = 0
    for part in chain((first,), parts):
        count += len(part)
        resampled = stream.resample_chunk(np.ascontiguousarray(part))
        handed += len(resampled)
        if len(resampled):
            yield resampled
    rest = stream.resample_chunk(np.empty(0, np.float32), last=True)
    missing = ceil(count * rate / own_rate) - handed
    rest = np.pad(rest, (0, max(0, missing - len(rest))))[: max(0, missing)]
    if len(rest):
        yield rest
