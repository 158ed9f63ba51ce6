"""Carries out the program of a manifest: samples in, float32 numbers out, equal to transformers' extractors'."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.audio.spectrum import SpectrumTransform, spectrum_transform
from onnxpress.errors import InputError
from onnxpress.format.sounds import (
    CopyFrames,
    EmphasizeSamples,
    FitFrames,
    FitSamples,
    LimitRange,
    ScaleSamples,
    ShiftScale,
    SoundSettings,
    Spectrum,
    StackFrames,
    StandardizeBands,
    StandardizeSamples,
)

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Heard:
    """float32 (samples,) or (frames, bands), and how many of its first entries are not padding."""

    values: Floats
    count: int


class SoundTransform:
    """The program of a manifest, ready to be carried out."""

    def __init__(self, settings: SoundSettings) -> None:
        self.settings = settings
        self._spectra = {step: spectrum_transform(step, settings.rate) for step in settings.steps if _is_spectrum(step)}

    def __call__(self, samples: Floats) -> Heard:
        """What a sound becomes, in the order of axes that the graph takes, and how long it is on its axis of time.

        Args:
            samples: float32 (samples,), from -1 to 1, at the settings' rate.

        Raises:
            InputError: it is too short for the model.
        """
        if len(samples) < self.settings.least:
            samples = np.pad(samples, (0, self.settings.least - len(samples)))
        heard = Heard(samples, len(samples))
        for step in self.settings.steps:
            if isinstance(step, Spectrum):
                heard = _spectrum(self._spectra[step], step, heard)
            else:
                heard = _STEPS[type(step)](step, heard)
        values = heard.values.astype(np.float32, copy=False)
        if self.settings.bands_first:
            values = np.ascontiguousarray(values.swapaxes(-1, -2))
        return Heard(values, heard.count)


@dataclass(frozen=True, slots=True)
class LongProgram:
    """A program that can be carried out while a sound comes: each number is changed by itself, but for one limit, which
    the greatest of them sets. `range`: of the limit; None: there is none."""

    scales: tuple[ScaleSamples, ...]
    spectrum: Spectrum
    range: float | None
    shifts: tuple[ShiftScale, ...]
    bands_first: bool

    def scaled(self, samples: Floats) -> Floats:
        """Samples as the spectrum takes them."""
        for step in self.scales:
            samples = samples * np.float32(step.factor)
        return samples

    def finished(self, frames: Floats, greatest: float) -> Floats:
        """What the graph takes, of float32 (frames, bands) of which the greatest number is told."""
        if self.range is not None:
            frames = np.maximum(frames, np.float32(greatest) - np.float32(self.range))
        heard = Heard(frames, len(frames))
        for step in self.shifts:
            heard = _STEPS[ShiftScale](step, heard)
        values = heard.values.astype(np.float32, copy=False)
        return np.ascontiguousarray(values.T) if self.bands_first else values


def long_program(settings: SoundSettings) -> LongProgram | None:
    """A program without the step that makes all sounds of one length, as it is carried out while a sound comes; None:
    it needs all of a sound at once."""
    steps = [step for step in settings.steps if not isinstance(step, FitSamples)]
    places = [place for place, step in enumerate(steps) if isinstance(step, Spectrum)]
    if len(places) != 1 or settings.least > 1:
        return None
    before, spectrum, after = steps[: places[0]], steps[places[0]], steps[places[0] + 1 :]
    limits = [step.range for step in after[:1] if isinstance(step, LimitRange)]
    after = after[len(limits) :]
    scales = tuple(step for step in before if isinstance(step, ScaleSamples))
    shifts = tuple(step for step in after if isinstance(step, ShiftScale))
    if len(scales) < len(before) or len(shifts) < len(after) or not isinstance(spectrum, Spectrum):
        return None
    return LongProgram(scales, spectrum, limits[0] if limits else None, shifts, settings.bands_first)


def _is_spectrum(step: Any) -> bool:
    return isinstance(step, Spectrum)


def _spectrum(transform: SpectrumTransform, step: Spectrum, heard: Heard) -> Heard:
    frames = transform.frames_of(len(heard.values))
    if frames < 1:
        raise InputError(
            f"The sound is too short for this model: {len(heard.values)} samples, and a frame of {step.frame} is read."
        )
    padded = heard.count < len(heard.values)
    return Heard(transform(heard.values), min(frames, -(-heard.count // step.hop)) if padded else frames)


def _standardize_samples(step: StandardizeSamples, heard: Heard) -> Heard:
    sound = heard.values
    return Heard((sound - sound.mean()) / np.sqrt(sound.var() + step.epsilon), heard.count)


def _emphasize(step: EmphasizeSamples, heard: Heard) -> Heard:
    sound = heard.values.copy()
    sound[1:] -= np.float32(step.coefficient) * heard.values[:-1]
    return Heard(sound, heard.count)


def _fit_samples(step: FitSamples, heard: Heard) -> Heard:
    sound = heard.values[: step.samples]
    if step.repeated:
        sound = np.tile(sound, step.samples // len(sound))
    count = len(sound)
    return Heard(sound if count == step.samples else np.pad(sound, (0, step.samples - count)), count)


def _fit_frames(step: FitFrames, heard: Heard) -> Heard:
    values = heard.values[: step.frames]
    return Heard(np.pad(values, ((0, step.frames - len(values)), (0, 0))), min(heard.count, step.frames))


def _standardize_bands(step: StandardizeBands, heard: Heard) -> Heard:
    values, count = heard.values, heard.count - step.spare
    # One frame has no deviation to divide by, unless something is added to it.
    if count <= max(step.freedom, 1 if step.deviation and not (step.epsilon or step.addend) else 0):
        raise InputError(f"The sound is too short for this model: it makes {heard.count} frames of it.")
    bands = np.array(values.T, order="C")  # numpy sums the contiguous axis by pairs, which rounds less
    counted = bands[:, :count]
    if step.mean:
        bands = bands - counted.mean(axis=1, keepdims=True)
    if step.deviation:
        bands = bands / (np.sqrt(counted.var(axis=1, ddof=step.freedom, keepdims=True) + step.epsilon) + step.addend)
    bands[:, count:] = 0
    return Heard(bands.T, count)


def _stack(step: StackFrames, heard: Heard) -> Heard:
    missing = -len(heard.values) % step.count
    values = np.pad(heard.values, ((0, missing), (0, 0)))
    return Heard(values.reshape(len(values) // step.count, -1), heard.count // step.count)


def _limit(step: LimitRange, heard: Heard) -> Heard:
    return Heard(np.maximum(heard.values, heard.values.max() - np.float32(step.range)), heard.count)


#: What each step makes of a sound; a spectrum is not among them: it is made with what is computed once.
_STEPS: Mapping[type[Any], Callable[[Any, Heard], Heard]] = {
    ScaleSamples: lambda step, heard: Heard(heard.values * np.float32(step.factor), heard.count),
    StandardizeSamples: _standardize_samples,
    EmphasizeSamples: _emphasize,
    FitSamples: _fit_samples,
    LimitRange: _limit,
    ShiftScale: lambda step, heard: Heard(
        (heard.values + np.float32(step.offset)) / np.float32(step.divisor), heard.count
    ),
    FitFrames: _fit_frames,
    StandardizeBands: _standardize_bands,
    StackFrames: _stack,
    CopyFrames: lambda step, heard: Heard(np.repeat(heard.values[None], step.count, axis=0), heard.count),
}
