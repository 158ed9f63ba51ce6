"""A variant that misses a threshold -> one that passes: treat the sites that harm most more exactly, step by step.

Each site's harm is measured alone: this site quantized, all others in higher precision. Harms add up nearly, as
squares, so that the worst ones tell where exactness is best spent. The search ends when the variant passes, when too
little is left to gain, or when its time is over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from onnxpress_exporter.precisions.row import Treatment
from onnxpress_exporter.quantize.judge import Verdict
from onnxpress_exporter.quantize.plan import Plan, first_plans, raised
from onnxpress_exporter.quantize.sites import Site

#: Of the whole harm, what the sites treated more exactly in one round stand for.
SHARE_PER_ROUND = 0.3
#: A variant with fewer than this share of its sites quantized saves nothing any more.
LEAST_QUANTIZED = 0.34

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Found:
    """The last plan that was judged, which passed or did not; `rounds`: what the search did, for the report."""

    plan: Plan
    verdict: Verdict
    rounds: tuple[str, ...] = ()
    harms: Mapping[str, float] = field(default_factory=dict)


def search(
    precision: str,
    sites: Sequence[Site],
    judge: Callable[[Plan], Verdict],
    harm: Callable[[Plan], float],
    one_range_will_do: Callable[[Site], bool],
    *,
    time_s: float,
    say: Say,
) -> Found:
    """Find a plan that passes.

    Args:
        judge: the gate's verdict on a plan.
        harm: how far a plan's raw outputs are from fp32's, squared and relative.
        one_range_will_do: whether a site's value may have one range for all rows, if the gate bears it.
        time_s: no new round begins after this many seconds.
        say: called with what the search does, for a progress display.
    """
    deadline = time.monotonic() + time_s
    rounds: list[str] = []
    best: Found | None = None
    for plan in first_plans(precision, sites, one_range_will_do):
        say("judging the first plan" if best is None else "judging without ranges for all rows")
        tried = "all sites at their cheapest" if best is None else "a range for each row everywhere"
        verdict = judge(plan)
        rounds.append(_told(tried, verdict))
        best = Found(plan, verdict, tuple(rounds))
        if verdict.passed:
            return best
    assert best is not None
    plan = dict(best.plan)
    by_value = {site.value: site for site in sites}
    harms: dict[tuple[str, Treatment], float] = {}
    while time.monotonic() < deadline:
        for number, (value, treatment) in enumerate(plan.items()):
            if (value, treatment) not in harms:
                say(f"measuring site {number + 1} of {len(plan)} alone")
                harms[value, treatment] = harm({value: treatment})
        worst = _worst(plan, harms)
        plan = raised(plan, precision, [by_value[value] for value in worst])
        if len(plan) < LEAST_QUANTIZED * len(sites):
            rounds.append("too few sites would be left to save anything")
            break
        say(f"treating {len(worst)} more exactly")
        verdict = judge(plan)
        layers = [name for value in worst for name in by_value[value].products]
        rounds.append(_told(f"{len(worst)} more exactly: {_listed(layers)}", verdict))
        alone = {value: harms[value, one] for value, one in plan.items() if (value, one) in harms}
        best = Found(dict(plan), verdict, tuple(rounds), alone)
        if verdict.passed:
            return best
    else:
        rounds.append(f"the time given, {time_s:.0f} s, was over")
    return Found(best.plan, best.verdict, tuple(rounds), best.harms)


def _worst(plan: Plan, harms: Mapping[tuple[str, Treatment], float]) -> list[str]:
    """The fewest sites that stand for the round's share of the harm."""
    ranked = sorted(plan, key=lambda value: -harms[value, plan[value]])
    total = sum(harms[value, plan[value]] for value in plan)
    chosen, covered = [], 0.0
    for value in ranked:
        chosen.append(value)
        covered += harms[value, plan[value]]
        if covered >= SHARE_PER_ROUND * total:
            break
    return chosen


def _told(what: str, verdict: Verdict) -> str:
    return f"{what}: {'passed' if verdict.passed else '; '.join(verdict.missed)}"


def _listed(products: Sequence[str]) -> str:
    return ", ".join(products[:3]) + (f" and {len(products) - 3} more" if len(products) > 3 else "")
