"""Spectra: windows, banks of mels and the logarithm of the power in each band, as transformers computes them
(`transformers.audio_utils`; of models with a reference in float32, as `torch.stft`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from onnxpress.format.sounds import MelBank, MelScale, Spectrum, Window

Numbers = NDArray[np.floating]

#: Frames that are transformed at a time: their numbers stay in the processor's cache.
BLOCK = 256

#: How many products a bank is cut into.
_PARTS = 3

#: Multiplications of a product. Of more, numpy's OpenBLAS wakes threads, which go on spinning for a while when they are
#: done, on cores that a model's first layers want.
_MOST_AT_ONCE = 2**18

#: In the scale of Slaney's Auditory Toolbox mels are linear up to 1000 Hz, which is mel 15, and logarithmic above.
_LINEAR, _KNEE_HZ, _KNEE, _STEP = 200.0 / 3.0, 1000.0, 15.0, np.log(6.4) / 27.0


def _slaney_mels(hertz: Numbers) -> Numbers:
    above = np.maximum(hertz, _KNEE_HZ)
    mels: Numbers = np.where(hertz >= _KNEE_HZ, _KNEE + np.log(above / _KNEE_HZ) / _STEP, hertz / _LINEAR)
    return mels


def _slaney_hertz(mels: Numbers) -> Numbers:
    hertz: Numbers = np.where(mels >= _KNEE, _KNEE_HZ * np.exp(_STEP * (mels - _KNEE)), mels * _LINEAR)
    return hertz


#: Of each scale, mels of a frequency and the frequency of mels.
_SCALES: Mapping[MelScale, tuple[Callable[[Numbers], Numbers], Callable[[Numbers], Numbers]]] = {
    "htk": (lambda hertz: 2595.0 * np.log10(1.0 + hertz / 700.0), lambda mels: 700.0 * (10.0 ** (mels / 2595.0) - 1.0)),
    "kaldi": (lambda hertz: 1127.0 * np.log(1.0 + hertz / 700.0), lambda mels: 700.0 * (np.exp(mels / 1127.0) - 1.0)),
    "slaney": (_slaney_mels, _slaney_hertz),
}

_POWERS: Mapping[Window, float] = {"hann": 1.0, "povey": 0.85}


def window_of(name: Window, length: int, *, periodic: bool) -> NDArray[np.float64]:
    """float64 (length,): Hann's window to a power."""
    window: NDArray[np.float64] = np.hanning(length + periodic)[:length] ** _POWERS[name]
    return window


def mel_bank(bank: MelBank, bins: int, rate: int) -> NDArray[np.float64]:
    """float64 (bins, bands): what a band has of each of the `bins` frequencies from 0 to half the rate."""
    to_mels, to_hertz = _SCALES[bank.scale]
    lowest, highest = to_mels(np.array([bank.lowest, bank.highest], np.float64))
    corners = np.linspace(lowest, highest, bank.bands + 2)
    hertz = to_hertz(corners)
    if bank.in_mels:
        frequencies = to_mels(rate / ((bins - 1) * 2) * np.arange(bins))
    else:
        corners, frequencies = hertz, np.linspace(0, rate // 2, bins)
    distances, widths = corners[None] - frequencies[:, None], np.diff(corners)
    weights: NDArray[np.float64] = np.maximum(
        0.0, np.minimum(-distances[:, :-2] / widths[:-1], distances[:, 2:] / widths[1:])
    )
    return weights * (2.0 / (hertz[2:] - hertz[:-2])) if bank.equal_area else weights


def _parts_of(bank: NDArray[np.floating]) -> Iterator[tuple[slice, slice, NDArray[np.floating]]]:
    """Neighbouring bands of a bank (bins, bands), the bins that they have something of, and what: low bands are narrow,
    so that the product of all bins with all bands is mostly with zeros."""
    edges = np.linspace(0, bank.shape[1], min(_PARTS, bank.shape[1]) + 1).round().astype(int)
    for first, last in pairwise(edges.tolist()):
        used = np.flatnonzero(bank[:, first:last].any(axis=1))
        bins = slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, 1)
        yield slice(first, last), bins, np.ascontiguousarray(bank[bins, first:last])


class SpectrumTransform:
    """One `Spectrum` of a manifest, its window and bank computed."""

    def __init__(self, step: Spectrum, rate: int) -> None:
        self._step = step
        dtype = np.float32 if step.single else np.float64
        window = window_of(step.window, step.frame, periodic=step.periodic)
        if step.edges != "none":
            before = (step.fft - step.frame) // 2
            window = np.pad(window, (before, step.fft - step.frame - before))
        self._window = window.astype(dtype)
        self._banks = list(_parts_of(mel_bank(step.mels, step.fft // 2 + 1, rate).astype(dtype)))
        #: numpy has no fast logarithm to the base 10.
        self._factor = dtype(step.factor / (np.log(10.0) if step.base == "10" else 1.0))

    def frames_of(self, samples: int) -> int:
        """How many frames a sound of so many samples has; less than 1: it is too short."""
        if self._step.edges != "none":
            samples += self._step.fft // 2 * 2
        return 1 + (samples - len(self._window)) // self._step.hop - self._step.drop_last

    def __call__(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 (frames, bands) of float32 (samples,), of which there are enough for a frame."""
        step, count = self._step, self.frames_of(len(samples))
        sound = samples.astype(self._window.dtype, copy=False)
        if step.edges != "none":
            sound = np.pad(sound, step.fft // 2, mode="reflect" if step.edges == "mirrored" else "constant")
        frames = sliding_window_view(sound, len(self._window))[:: step.hop][:count]
        heard = min(count, _last_of(sound) // step.hop + 1)  # what is behind is silence: its numbers are known
        power = np.zeros((count, step.mels.bands), self._window.dtype)
        for first in range(0, heard, BLOCK):
            block = slice(first, min(first + BLOCK, heard))
            self._add_power(frames[block], power[block])
        return self._logarithm(power)

    def of_frames(self, frames: Numbers) -> NDArray[np.float32]:
        """float32 (frames, bands) of a few frames as they are cut out of a sound, (frames, window)."""
        power = np.zeros((len(frames), self._step.mels.bands), self._window.dtype)
        self._add_power(frames, power)
        return self._logarithm(power)

    @property
    def window(self) -> int:
        """Samples of a frame, zeros about it included."""
        return len(self._window)

    @property
    def dtype(self) -> np.dtype[Any]:
        """What it computes with."""
        return self._window.dtype

    def _add_power(self, frames: Numbers, power: Numbers) -> None:
        parts = np.fft.rfft(self._windowed(frames), n=self._step.fft)
        squares = np.square(parts.real)
        squares += np.square(parts.imag)
        for bands, bins, bank in self._banks:
            step = max(1, _MOST_AT_ONCE // bank.size)
            for first in range(0, len(frames), step):
                rows = slice(first, first + step)
                np.matmul(squares[rows, bins], bank, out=power[rows, bands])

    def _logarithm(self, power: Numbers) -> NDArray[np.float32]:
        step = self._step
        if step.addend:
            np.add(power, self._window.dtype.type(step.addend), out=power)
        np.maximum(power, step.floor, out=power)
        np.log(power, out=power)
        if self._factor != 1.0:
            power *= self._factor
        return power.astype(np.float32, copy=False)

    def _windowed(self, frames: Numbers) -> Numbers:
        step = self._step
        if step.remove_mean:
            frames = frames - frames.mean(axis=1, keepdims=True)
        if step.preemphasis:
            emphasized = frames.copy()
            emphasized[:, 1:] -= step.preemphasis * frames[:, :-1]
            emphasized[:, 0] *= 1 - step.preemphasis
            frames = emphasized
        windowed: Numbers = np.multiply(frames, self._window)
        return windowed


def _last_of(samples: Numbers) -> int:
    """The index of the last sample that is not 0; -1: all are."""
    sounding = samples[::-1] != 0
    return len(samples) - 1 - int(sounding.argmax()) if sounding.any() else -1


@lru_cache(maxsize=16)
def spectrum_transform(step: Spectrum, rate: int) -> SpectrumTransform:
    """The transform of a step; computed once for each."""
    return SpectrumTransform(step, rate)
