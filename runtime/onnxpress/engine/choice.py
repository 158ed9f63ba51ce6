"""Which variant to run on this machine, and why. Pure: a manifest and what the machine has in, a choice out.

Every variant in an artifact passed the gate, so that the choice is about speed. A variant's speed is what its export
measured beside fp32; where nothing was measured, what its precision usually gives on its targets.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from onnxpress.engine.machine import features
from onnxpress.errors import UnsupportedFormat
from onnxpress.format.manifest import PRECISION_SUFFIX, Manifest, Variant

#: (family, precision) -> its usual time over fp32's, where nothing was measured. On a processor, weights without
#: integer products save memory, not time.
USUAL: Mapping[tuple[str, str], float] = {
    ("cpu", "fp32"): 1.0,
    ("cpu", "int8"): 0.65,
    ("cpu", "q8"): 1.2,
    ("cpu", "q4"): 1.2,
    ("cpu", "fp16"): 2.0,
    ("cpu", "q4f16"): 2.5,
    ("cuda", "fp16"): 0.5,
    ("cuda", "q4f16"): 0.8,
    ("cuda", "fp32"): 1.0,
    ("cuda", "q4"): 1.2,
    ("cuda", "q8"): 1.2,
    ("cuda", "int8"): 2.0,
}

#: The same of models that write text one token at a time: the time is that of reading the weights.
USUAL_WRITING: Mapping[tuple[str, str], float] = {
    **USUAL,
    ("cpu", "int8"): 0.5,
    ("cpu", "q8"): 0.5,
    ("cpu", "q4"): 0.35,
    ("cuda", "q4f16"): 0.4,
}


#: And of those with an encoder, which usually step several beams together.
USUAL_REWRITING: Mapping[tuple[str, str], float] = {**USUAL_WRITING, ("cpu", "q8"): 0.7, ("cpu", "q4"): 0.6}


@dataclass(frozen=True, slots=True)
class Choice:
    """The precision to run, and the reason in one sentence."""

    precision: str
    reason: str


def choose(
    manifest: Manifest, precision: str | None = None, device: str = "cpu", has: frozenset[str] | None = None
) -> Choice:
    """The variant asked for, else the fastest that suits the machine.

    Args:
        device: as `session.parse_device` names it.
        has: the processor's features; None: this machine's.

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
    suited = {name: one for name, one in manifest.variants.items() if suits(one, family, have)}
    if not suited:
        raise UnsupportedFormat(
            f"No variant of this artifact is made for {family} with {', '.join(sorted(have)) or 'these features'}; it "
            f"has: {names}. Name one to force it."
        )
    order, usual = list(PRECISION_SUFFIX), USUAL
    if manifest.generation is not None:
        usual = USUAL_WRITING if "model" in manifest.graphs else USUAL_REWRITING
    times = {name: _time(name, one, family, usual) for name, one in suited.items()}
    chosen, *others = sorted(suited, key=lambda name: (times[name][0], order.index(name)))
    if not others:
        return Choice(chosen, f"no other variant suits {family} here")
    # fp32 is what times are told in: beside itself, the next one's tells.
    told = chosen if chosen != "fp32" else others[0]
    time, measured_on = times[told]
    how = f"measured on {measured_on}" if measured_on else "as is usual; not measured"
    next_one = "" if told == chosen else f"{told}, the next, takes "
    return Choice(chosen, f"the fastest of {', '.join(suited)}: {next_one}{time:.2f} of fp32's time, {how}")


def suits(variant: Variant, family: str, has: frozenset[str]) -> bool:
    """Whether a variant is made for a device family on a processor with these features."""
    return any(
        target == family or (target.startswith(f"{family}:") and target.partition(":")[2] in has)
        for target in variant.targets
    )


def _time(precision: str, variant: Variant, family: str, usual: Mapping[tuple[str, str], float]) -> tuple[float, str]:
    """Time over fp32's, and the machine it was measured on, empty where it was not."""
    speed = variant.speed
    if family == "cpu" and speed is not None:
        ratios = [one.milliseconds / one.fp32_milliseconds for one in speed.timings if one.fp32_milliseconds]
        if ratios:
            return math.exp(sum(map(math.log, ratios)) / len(ratios)), speed.machine
    return usual[family, precision], ""
