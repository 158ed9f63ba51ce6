"""Chooses the variant to run on this machine, and says why. Pure: reads a manifest and the machine's features.

Where nobody says otherwise, the answers count more than the time: a variant runs instead of the most exact one only if
its answers are the same (`format.fidelity`) and it was measured to be faster, by more than measurements differ, on a
processor with the features of this one. What is usual for a precision decides only where the fastest is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from onnxpress.engine.forms import FormChoice, choose_form
from onnxpress.engine.machine import features, processor_name
from onnxpress.engine.providers import CPU, provider_of
from onnxpress.errors import UnsupportedFormat
from onnxpress.format.fidelity import answers_of
from onnxpress.format.manifest import Manifest, Speed, Variant
from onnxpress.format.precisions import PRECISIONS, REFERENCE, SUFFIXES, UsualTime, like
from onnxpress.suggestions import did_you_mean

#: Variant -> its time over that of the most exact one, as measured on this machine.
Measured = Mapping[str, float]

#: A variant is faster only below this share of the most exact one's time. Medians of a few dozen runs in turn, which is
#: what an artifact records, differ by some percent from one time to the next where nothing differs.
FASTER = 0.95

#: What may stand in the place of a precision's name, and what it asks for.
FASTEST = "fastest"
POLICIES: Mapping[str, str] = MappingProxyType(
    {
        FASTEST: "the fastest variant, whose answers may be close instead of the same",
        "smallest": "the variant with the fewest bytes",
        "exact": "the variant whose answers are nearest to the original's",
    }
)


@dataclass(frozen=True, slots=True)
class Choice:
    """The precision to run, and the reason in one sentence; and the form of its variant."""

    precision: str
    reason: str
    form: FormChoice = field(default_factory=FormChoice)


@dataclass(frozen=True, slots=True)
class Machine:
    """What runs the variant: the device's family, the processor's features and its name."""

    family: str
    features: frozenset[str]
    processor: str

    @property
    def target(self) -> str:
        """The family that variants for it are made for."""
        return provider_of(self.family).target


def choose(
    manifest: Manifest,
    precision: str | None = None,
    device: str = "cpu",
    has: frozenset[str] | None = None,
    processor: str | None = None,
    measured: Measured = MappingProxyType({}),
) -> Choice:
    """The variant asked for, by name or by one of POLICIES, else the fastest of those with the same answers.

    Args:
        device: as `providers.parse_device` names it.
        has: the processor's features; None: this machine's.
        processor: its name; None: this machine's.
        measured: what was timed on this machine, which counts more than what the artifact says.

    Raises:
        UnsupportedFormat: there is no such variant, or none for the device; the message lists those there are.
    """
    family = device.partition(":")[0]
    choice = _chosen(manifest, precision, family, has, processor, measured)
    variant = manifest.variants[choice.precision]
    choice = replace(choice, form=choose_form(variant, family, has))
    if family == CPU.family or variant.verified_on(family):
        return choice
    return replace(choice, reason=f"{choice.reason}; unverified on {provider_of(device).words}")


def _chosen(
    manifest: Manifest,
    precision: str | None,
    family: str,
    has: frozenset[str] | None,
    processor: str | None,
    measured: Measured,
) -> Choice:
    if precision is not None and precision not in POLICIES:
        return _named(manifest, precision)
    machine = Machine(
        family,
        features() if has is None else has,
        processor_name() if processor is None else processor,
    )
    suited = suited_variants(manifest, machine.target, machine.features)
    exact = most_exact(suited)
    if len(suited) == 1:
        return Choice(exact, f"no other variant suits {machine.family} here")
    if precision == "exact":
        return Choice(exact, f"the most exact of {', '.join(suited)}")
    if precision == "smallest":
        smallest = min(suited, key=lambda name: suited[name].bytes)
        return Choice(smallest, f"the smallest of {', '.join(suited)}")
    if precision == FASTEST:
        return _fastest(manifest, suited, machine, measured)
    return _usual(suited, exact, machine, measured)


def suits(variant: Variant, family: str, has: frozenset[str]) -> bool:
    """Whether a variant is made for a device family on a processor with these features."""
    return any(
        target == family or (target.startswith(f"{family}:") and target.partition(":")[2] in has)
        for target in variant.targets
    )


def suited_variants(manifest: Manifest, family: str, has: frozenset[str]) -> dict[str, Variant]:
    """The variants that are made for a device family on a processor with these features.

    Raises:
        UnsupportedFormat: there is none.
    """
    suited = {name: variant for name, variant in manifest.variants.items() if suits(variant, family, has)}
    if not suited:
        raise UnsupportedFormat(
            f"No variant of this artifact is made for {family} with {', '.join(sorted(has)) or 'these features'}; it "
            f"has: {', '.join(manifest.variants)}. Name one to force it."
        )
    return suited


def most_exact(variants: Mapping[str, Variant]) -> str:
    """The variant whose answers are nearest to the original's: by class, then by the largest error of its outputs."""

    def distance(name: str) -> tuple[bool, bool, float, int]:
        quality = variants[name].quality
        close = answers_of(name, variants[name]) != "same"
        error = math.inf if quality is None else quality.max_error
        return name != REFERENCE, close, error, _place(name)

    return min(variants, key=distance)


def _place(name: str) -> int:
    """Where a variant stands among all that are known, the most exact first."""
    order = list(SUFFIXES)
    return order.index(name) if name in SUFFIXES else len(order)


def unmeasured(manifest: Manifest, device: str) -> dict[str, Variant]:
    """The variants that would run here if they were known to be faster: the same answers, and no time of such a
    processor; with the most exact one, which they are compared with. Empty where there is nothing to measure."""
    machine = Machine(device.partition(":")[0], features(), processor_name())
    suited = suited_variants(manifest, machine.target, machine.features)
    exact = most_exact(suited)
    unknown = {
        name: variant
        for name, variant in suited.items()
        if name != exact and answers_of(name, variant) == "same" and _known(variant, machine) is None
    }
    return {exact: suited[exact], **unknown} if unknown else {}


def for_many(manifest: Manifest, chosen: str, precision: str | None, device: str) -> str | None:
    """The variant that may be faster than the chosen one where many texts are written at once, when a step's time is
    that of products and no longer that of reading the weights; None: none is expected to be, or may run instead.

    Args:
        precision: what was asked for: only where nothing was, or the fastest, may another variant run.
    """
    if precision not in (None, FASTEST):
        return None
    target = provider_of(device.partition(":")[0]).target

    def usual(name: str) -> tuple[float, int]:
        return like(name).usual[target].reading, _place(name)

    suited = suited_variants(manifest, target, features())
    able = [
        name
        for name, variant in suited.items()
        if usual(name)[0] < usual(chosen)[0] and (precision == FASTEST or answers_of(name, variant) == "same")
    ]
    return min(able, key=usual, default=None)


def usual_time(manifest: Manifest) -> Callable[[UsualTime], float]:
    """Choose which of a precision's usual times counts for an artifact, by the roles of its graphs."""
    if manifest.generation is None:
        return lambda usual: usual.reading
    if any(graph.role == "encoder" for graph in manifest.graphs.values()):
        return lambda usual: usual.rewriting
    return lambda usual: usual.writing


def _named(manifest: Manifest, precision: str) -> Choice:
    if precision not in manifest.variants:
        hint = did_you_mean(precision, [*manifest.variants, *POLICIES])
        added = f" `onnxpress quantize` adds {precision}." if precision in PRECISIONS else ""
        raise UnsupportedFormat(
            f"This artifact has no {precision} variant.{hint} It has: {', '.join(manifest.variants)}; "
            f"{', '.join(POLICIES)} choose one.{added}"
        )
    return Choice(precision, "it was asked for")


@dataclass(frozen=True, slots=True)
class _Time:
    """`ratio`: time over that of fp32, or of the most exact variant; `source`: where the figure is from, in words."""

    ratio: float
    source: str


def _usual(suited: Mapping[str, Variant], exact: str, machine: Machine, measured: Measured) -> Choice:
    """The fastest of those with the same answers that were measured here, else the most exact."""
    faster: dict[str, _Time] = {}
    reasons = []
    for name, variant in suited.items():
        if name == exact:
            continue
        time = _measured(name, variant, machine, measured)
        if answers_of(name, variant) != "same":
            reasons.append(f"the answers of {name} are close, not the same")
        elif time is None:
            reasons.append(f"{name} was not measured on a processor like this one")
        elif time.ratio > FASTER:
            within = ", which is not surely less" if time.ratio < 1 else ""
            reasons.append(f"{name} takes {time.ratio:.2f} of its time{within}, {time.source}")
        else:
            faster[name] = time
    if not faster:
        return Choice(exact, f"the most exact; {'; '.join(reasons)}")
    chosen = min(faster, key=lambda name: faster[name].ratio)
    time = faster[chosen]
    return Choice(chosen, f"the same answers in {time.ratio:.2f} of {exact}'s time, {time.source}")


def _fastest(manifest: Manifest, suited: Mapping[str, Variant], machine: Machine, measured: Measured) -> Choice:
    """The one with the shortest time, measured or usual."""
    usual = usual_time(manifest)
    times = {
        name: _measured(name, variant, machine, measured)
        or _Time(usual(like(name).usual[machine.target]), "as is usual; not measured on a processor like this one")
        for name, variant in suited.items()
    }
    chosen, *others = sorted(suited, key=lambda name: (times[name].ratio, _place(name)))
    # fp32 is what times are told in: beside itself, the next one's tells.
    compared = chosen if chosen != REFERENCE else others[0]
    next_one = "" if compared == chosen else f"{compared}, the next, takes "
    time = times[compared]
    return Choice(
        chosen,
        f"the fastest of {', '.join(suited)}: {next_one}{time.ratio:.2f} of fp32's time, {time.source}",
    )


def _measured(name: str, variant: Variant, machine: Machine, measured: Measured) -> _Time | None:
    if name in measured:
        return _Time(measured[name], "measured on this machine")
    return _known(variant, machine)


def _known(variant: Variant, machine: Machine) -> _Time | None:
    """What the artifact says of a variant's time on a processor like this one; None: nothing."""
    speed = variant.speed
    if speed is None or machine.family != "cpu" or not _is_alike(speed, machine):
        return None
    ratios = _ratios(speed)
    if not ratios:
        return None
    return _Time(math.exp(sum(map(math.log, ratios)) / len(ratios)), f"measured on {speed.machine}")


def _is_alike(speed: Speed, machine: Machine) -> bool:
    """Whether times were measured on a processor with these features; older artifacts tell its name alone."""
    if speed.features is None:
        return speed.machine == machine.processor
    return frozenset(speed.features) == machine.features


def _ratios(speed: Speed) -> Sequence[float]:
    return [timing.milliseconds / timing.fp32_milliseconds for timing in speed.timings if timing.fp32_milliseconds]
