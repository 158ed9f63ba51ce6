"""Chooses the form of a variant that runs on this machine, and says why. Pure: reads a variant and the features here.

Which nodes compute a variant fastest differs by processor. Where a tuner measured it, on a processor with the features
of this one, its choice runs here; elsewhere a form that is usually faster on as few cores as there are, if the variant
has one, or else the default form, which every variant has.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from onnxpress.engine.machine import features, usable_cores
from onnxpress.engine.providers import CPU, onnxruntime_version, version_numbers
from onnxpress.format.manifest import Tuning, Variant
from onnxpress.format.variants import CONTROL, DEFAULT_FORM

#: A device is told where it takes less than this share of the time at every shape.
_CLEARLY = 0.97
#: Where an interval of the default form's own times, taken twice, is wider, a machine was too busy to tell.
_UNSURE = 1.15


@dataclass(frozen=True, slots=True)
class FormChoice:
    """The form to run, and the reason in a few words."""

    form: str = DEFAULT_FORM
    reason: str = "it was never tuned"


def choose_form(
    variant: Variant, family: str = CPU.family, has: frozenset[str] | None = None, cores: int | None = None
) -> FormChoice:
    """The form that a tuner chose on a processor like this one, else the default form.

    Args:
        family: of the device: what was tuned on a processor tells nothing of other devices.
        has: the processor's features; None: this machine's.
        cores: that may be used; None: this machine's. Of several machines of these features the one counts that had as
            many, and of those the last.
    """
    for name, form in variant.forms.items():
        if form.device == family != CPU.family:
            return FormChoice(name, f"it is made for {family}: {form.about}")
    if family != CPU.family or not (variant.forms or variant.tunings):
        return FormChoice()
    here = features() if has is None else has
    count = usable_cores() if cores is None else cores
    alike = [tuning for tuning in variant.tunings if frozenset(tuning.features) == here]
    if not alike:
        reason = "not tuned on such a processor" if variant.tunings else "it was never tuned"
        return _usual(variant, count, reason)
    tuning = next((tuning for tuning in reversed(alike) if tuning.cores == count), alike[-1])
    where = f"tuned on {place_of(tuning)}, same features"
    where = "; ".join([where, *_faster_devices(variant, tuning)])
    if tuning.form == DEFAULT_FORM and not _sure(tuning):
        return FormChoice(reason=f"{where}, which was too busy to tell: tune it again with nothing else running")
    if tuning.form == DEFAULT_FORM:
        return FormChoice(reason=f"{where}: no other form was clearly faster")
    return FormChoice(tuning.form, f"{variant.forms[tuning.form].about}; {where}")


def _usual(variant: Variant, cores: int, reason: str) -> FormChoice:
    """The form that runs on so many cores where nobody measured, and that the ONNX Runtime here knows."""
    for name, form in variant.forms.items():
        usual = form.usual
        if usual is not None and cores <= usual.cores and version_numbers(usual.onnxruntime) <= onnxruntime_version():
            return FormChoice(name, f"{form.about}; {reason}, and this is usual on at most {usual.cores} cores")
    return FormChoice(reason=reason)


def _faster_devices(variant: Variant, tuning: Tuning) -> Iterator[str]:
    """Devices that were faster there at every shape, in words: nothing chooses them by itself."""
    chosen = tuning.times.get(tuning.form, ())
    for name, form in variant.forms.items():
        ratios = [
            other.over_default / ours.over_default
            for other, ours in zip(tuning.times.get(name, ()), chosen, strict=False)
        ]
        if form.device != CPU.family and ratios and max(ratios) < _CLEARLY:
            mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
            yield f'device="{form.device}" took {mean:.2f} of its time there'


def _sure(tuning: Tuning) -> bool:
    """Whether times were taken in quiet enough to tell forms apart: the default form's against itself."""
    ends = [(time.low, time.high) for time in tuning.times.get(CONTROL, ())]
    return all(low is not None and high is not None and high <= _UNSURE * low for low, high in ends)


def place_of(tuning: Tuning) -> str:
    """A machine in words: its processor and how much of it was used."""
    return f"{tuning.machine} ({tuning.cores} core{'s' * (tuning.cores != 1)})"
