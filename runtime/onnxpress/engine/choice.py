"""Chooses the variant to run on this machine, and says why. Pure: reads a manifest and the machine's features.

Every variant in an artifact passed the gate, so that the choice is about speed. A variant's speed is what its export
measured beside fp32 on a processor like this one; where nothing was measured on such a one, it is what the precision
usually gives.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from onnxpress.engine.machine import features, processor_name
from onnxpress.errors import UnsupportedFormat
from onnxpress.format.manifest import Manifest, Speed, Variant
from onnxpress.format.precisions import PRECISIONS, REFERENCE, UsualTime


@dataclass(frozen=True, slots=True)
class Choice:
    """The precision to run, and the reason in one sentence."""

    precision: str
    reason: str


def choose(
    manifest: Manifest,
    precision: str | None = None,
    device: str = "cpu",
    has: frozenset[str] | None = None,
    processor: str | None = None,
) -> Choice:
    """The variant asked for, else the fastest that suits the machine.

    Args:
        device: as `providers.parse_device` names it.
        has: the processor's features; None: this machine's.
        processor: its name; None: this machine's. Times that were measured on another one are not trusted.

    Raises:
        UnsupportedFormat: there is no such variant, or none for the device; the message lists those there are.
    """
    names = ", ".join(manifest.variants)
    if precision is not None:
        if precision not in manifest.variants:
            raise UnsupportedFormat(f"This artifact has no {precision} variant. It has: {names}.")
        return Choice(precision, "it was asked for")
    family = device.partition(":")[0]
    have = features() if has is None else has
    suited = {name: variant for name, variant in manifest.variants.items() if suits(variant, family, have)}
    if not suited:
        raise UnsupportedFormat(
            f"No variant of this artifact is made for {family} with {', '.join(sorted(have)) or 'these features'}; it "
            f"has: {names}. Name one to force it."
        )
    here = processor_name() if processor is None else processor
    usual = usual_time(manifest)
    times = {name: _time(name, variant, family, usual, here) for name, variant in suited.items()}
    order = list(PRECISIONS)
    chosen, *others = sorted(suited, key=lambda name: (times[name].over_fp32, order.index(name)))
    if not others:
        return Choice(chosen, f"no other variant suits {family} here")
    # fp32 is what times are told in: beside itself, the next one's tells.
    compared = chosen if chosen != REFERENCE else others[0]
    time = times[compared]
    next_one = "" if compared == chosen else f"{compared}, the next, takes "
    return Choice(
        chosen,
        f"the fastest of {', '.join(suited)}: {next_one}{time.over_fp32:.2f} of fp32's time, {time.source}",
    )


def suits(variant: Variant, family: str, has: frozenset[str]) -> bool:
    """Whether a variant is made for a device family on a processor with these features."""
    return any(
        target == family or (target.startswith(f"{family}:") and target.partition(":")[2] in has)
        for target in variant.targets
    )


def usual_time(manifest: Manifest) -> Callable[[UsualTime], float]:
    """Choose which of a precision's usual times counts for an artifact, by the roles of its graphs."""
    if manifest.generation is None:
        return lambda usual: usual.reading
    if any(graph.role == "encoder" for graph in manifest.graphs.values()):
        return lambda usual: usual.rewriting
    return lambda usual: usual.writing


@dataclass(frozen=True, slots=True)
class _Time:
    """`over_fp32`: time over fp32's; `source`: where the figure is from, in words."""

    over_fp32: float
    source: str


def _time(precision: str, variant: Variant, family: str, usual: Callable[[UsualTime], float], processor: str) -> _Time:
    speed = variant.speed
    ratios = _ratios(speed) if family == "cpu" and speed is not None else []
    if speed is not None and ratios and speed.machine == processor:
        return _Time(math.exp(sum(map(math.log, ratios)) / len(ratios)), f"measured on {speed.machine}")
    time = usual(PRECISIONS[precision].usual[family])
    if speed is not None and ratios:
        return _Time(time, f"as is usual; measured only on another processor, {speed.machine}")
    return _Time(time, "as is usual; not measured")


def _ratios(speed: Speed) -> Sequence[float]:
    return [timing.milliseconds / timing.fp32_milliseconds for timing in speed.timings if timing.fp32_milliseconds]
