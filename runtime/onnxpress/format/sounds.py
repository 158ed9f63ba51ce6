"""The part of `onnxpress.json` that says how a sound becomes an array: a short program, carried out in order.

Steps on samples come first; at most one `Spectrum` makes frames of them; steps on frames follow. All of it is data;
`onnxpress.audio` carries it out. docs/artifact.md describes every field for readers of other languages.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

#: Samples a second that a sound may have: from those of telephones to those of instruments.
RATES = range(1_000, 384_001)

#: The most samples or frames that a step may ask for: an hour at the highest rate.
MAX_LENGTH = 3_600 * 384_000

#: The longest transform.
MAX_FFT = 65_536

Window = Literal["hann", "povey"]
MelScale = Literal["htk", "kaldi", "slaney"]


@dataclass(frozen=True, slots=True)
class ScaleSamples:
    """Each sample times `factor`: 32768 where a model was trained on 16-bit numbers."""

    factor: float
    op: Literal["scale-samples"] = "scale-samples"


@dataclass(frozen=True, slots=True)
class StandardizeSamples:
    """Samples with mean 0 and variance 1: `(x - mean) / sqrt(variance + epsilon)`."""

    epsilon: float
    op: Literal["standardize-samples"] = "standardize-samples"


@dataclass(frozen=True, slots=True)
class EmphasizeSamples:
    """Each sample less `coefficient` times the one before; the first stays."""

    coefficient: float
    op: Literal["emphasize-samples"] = "emphasize-samples"


@dataclass(frozen=True, slots=True)
class FitSamples:
    """To so many samples: longer sounds are cut, shorter ones are followed by zeros. `repeated`: by as many whole
    repetitions of themselves as fit, and then by zeros."""

    samples: int
    repeated: bool = False
    op: Literal["fit-samples"] = "fit-samples"


@dataclass(frozen=True, slots=True)
class MelBank:
    """Triangles from `lowest` to `highest` Hz, evenly spaced on a scale of mels. `equal_area`: each is divided by half
    its width in Hz. `in_mels`: their sides are straight in mels, not in Hz."""

    bands: int
    lowest: float
    highest: float
    scale: MelScale
    equal_area: bool = False
    in_mels: bool = False


@dataclass(frozen=True, slots=True)
class Spectrum:
    """The logarithm of the power in each band of frequencies, frame by frame.

    A frame is `frame` samples, `hop` after the one before; `fft` numbers are transformed, zeros among them.
    `edges`: what the sound is lengthened by at both ends, half a transform each ("mirrored", "zeros"), or "none". A
    window that is shorter than the transform lies in its middle where there are edges, and otherwise at its beginning.
    In a frame: `remove_mean`; `preemphasis` times the sample before is taken away; the window, which is symmetric
    unless `periodic`. `drop_last`: without the last frame. `base`: of the logarithm, "e" or "10"; `factor`: times it.
    `floor`: the least power; `addend`: what is added to the power before. `single`: all of it in float32, as models
    with such a reference do it; otherwise in float64, and float32 comes out.
    """

    frame: int
    hop: int
    fft: int
    window: Window
    mels: MelBank
    edges: Literal["none", "mirrored", "zeros"] = "none"
    periodic: bool = False
    remove_mean: bool = False
    preemphasis: float = 0.0
    drop_last: bool = False
    base: Literal["e", "10"] = "e"
    factor: float = 1.0
    floor: float = 0.0
    addend: float = 0.0
    single: bool = False
    op: Literal["spectrum"] = "spectrum"


@dataclass(frozen=True, slots=True)
class LimitRange:
    """Nothing is less than the greatest number of the sound less `range`."""

    range: float
    op: Literal["limit-range"] = "limit-range"


@dataclass(frozen=True, slots=True)
class ShiftScale:
    """`(x + offset) / divisor`."""

    offset: float
    divisor: float
    op: Literal["shift-scale"] = "shift-scale"


@dataclass(frozen=True, slots=True)
class FitFrames:
    """To so many frames: more are cut, fewer are followed by zeros."""

    frames: int
    op: Literal["fit-frames"] = "fit-frames"


@dataclass(frozen=True, slots=True)
class StandardizeBands:
    """Each band with mean 0 and deviation 1 over the frames. `mean`, `deviation`: whether; `freedom`: what is taken
    from the number of frames where the variance is averaged; `epsilon` is added to the variance, `addend` to the
    deviation. `spare`: so many last frames do not count, and become zeros."""

    mean: bool = True
    deviation: bool = True
    freedom: int = 0
    epsilon: float = 0.0
    addend: float = 0.0
    spare: int = 0
    op: Literal["standardize-bands"] = "standardize-bands"


@dataclass(frozen=True, slots=True)
class StackFrames:
    """Each `count` frames one after the other as one; what is left of less is followed by zeros, and does not count."""

    count: int
    op: Literal["stack-frames"] = "stack-frames"


@dataclass(frozen=True, slots=True)
class CopyFrames:
    """`count` copies of the frames, on an axis of their own before the others."""

    count: int
    op: Literal["copy-frames"] = "copy-frames"


#: Steps before a spectrum, and those that change its frames.
OF_SAMPLES = ScaleSamples | StandardizeSamples | EmphasizeSamples | FitSamples | Spectrum
OF_FRAMES = LimitRange | ShiftScale | FitFrames | StandardizeBands | StackFrames | CopyFrames

SoundStep = OF_SAMPLES | OF_FRAMES


@dataclass(frozen=True, slots=True)
class SoundSettings:
    """How a sound becomes float32: the graph's input `input_names[0]`, (samples,), (frames, bands) or, with
    `bands_first`, (bands, frames). A second input is the mask of what is not padding, 1 or 0.

    `rate`: samples a second. `least`: fewer samples than these are followed by zeros: the graph takes no shorter sound.
    """

    input_names: tuple[str, ...]
    rate: int
    steps: tuple[SoundStep, ...] = ()
    bands_first: bool = False
    least: int = 1


def seconds_that_are_read(settings: SoundSettings) -> float | None:
    """How much of a sound, from its beginning, is all that the program takes; None: it takes all of any."""
    for place, step in enumerate(settings.steps):
        if isinstance(step, FitSamples):
            return step.samples / settings.rate
        if isinstance(step, Spectrum):
            following = settings.steps[place + 1 : place + 2]
            if following and isinstance(following[0], FitFrames):
                samples = (following[0].frames + 1) * step.hop + step.fft
                return samples / settings.rate
            return None
        if isinstance(step, StandardizeSamples):
            return None
    return None


def faults_of(settings: SoundSettings) -> Iterator[tuple[str, str]]:
    """The fields that contradict others or cannot be carried out, each with what is wrong with it."""
    if not 1 <= len(settings.input_names) <= 2:
        yield "input_names", "not one name or two"
    if settings.rate not in RATES:
        yield "rate", f"not from {RATES.start} to {RATES.stop - 1}"
    if not 1 <= settings.least <= MAX_LENGTH:
        yield "least", f"not from 1 to {MAX_LENGTH}"
    framed = False
    for place, step in enumerate(settings.steps):
        for name, fault in _faults_of_step(step, settings.rate, framed=framed):
            yield f"steps[{place}]{name}", fault
        framed = framed or isinstance(step, Spectrum)


def _faults_of_step(step: SoundStep, rate: int, *, framed: bool) -> Iterator[tuple[str, str]]:
    if isinstance(step, OF_SAMPLES if framed else OF_FRAMES):
        yield "", f"{step.op} {'after' if framed else 'before'} the spectrum"
    for name in ("samples", "frames", "frame", "hop", "fft", "count"):
        if not 1 <= getattr(step, name, 1) <= MAX_LENGTH:
            yield f".{name}", f"not from 1 to {MAX_LENGTH}"
    if isinstance(step, ShiftScale) and step.divisor == 0:
        yield ".divisor", "zero"
    if isinstance(step, Spectrum):
        if not 2 <= step.frame <= step.fft <= MAX_FFT:
            yield ".frame", f"not from 2 to fft, and that to {MAX_FFT}"
        if not 1 <= step.mels.bands <= MAX_FFT or not 0 <= step.mels.lowest < step.mels.highest <= rate:
            yield ".mels", "no bands from a lower frequency to a higher"
