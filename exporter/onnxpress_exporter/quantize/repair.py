"""Repairs a variant that misses a threshold: treats the sites that harm most more exactly, step by step.

Each site's harm is measured alone: this site quantized, all others in higher precision. Harms add up nearly, as
squares, so that the worst ones tell where exactness is best spent. The search ends when the variant passes, when too
little is left to gain, or when its time is over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from onnxpress_exporter.precisions.row import IntegerConvolution, Treatment
from onnxpress_exporter.quantize.plan import Attempt, Place, Plan, raised
from onnxpress_exporter.quantize.settings import Say
from onnxpress_exporter.quantize.thresholds import Verdict

#: Of the whole harm, what the sites treated more exactly in one round stand for.
SHARE_PER_ROUND = 0.3
#: A variant with fewer than this share of its products' sites, and of its convolutions', saves nothing any more.
LEAST_QUANTIZED = 0.34


@dataclass(frozen=True, slots=True)
class Found:
    """The last plan that was judged, which passed or did not; `rounds`: what the search did, for the report."""

    plan: Plan
    verdict: Verdict
    rounds: tuple[str, ...] = ()


def search(
    attempts: Sequence[Attempt],
    ladder: Sequence[Treatment],
    products: Mapping[Place, Sequence[str]],
    judge: Callable[[Attempt], Verdict],
    harm: Callable[[Plan], float],
    *,
    time_s: float,
    say: Say,
) -> Found:
    """Find a plan that passes.

    Args:
        attempts: what is tried before any site is looked at alone.
        ladder: treatments, each more exact than the one before; empty: sites are not treated one by one.
        products: the products of each site that can be treated.
        judge: the gate's verdict on an attempt.
        harm: how far a plan's raw outputs are from fp32's, squared and relative.
        time_s: neither a new round nor the look at another site begins after this many seconds.
        say: called with what the search does, for a progress display.
    """
    deadline = time.monotonic() + time_s
    rounds: list[str] = []
    best: Found | None = None
    for attempt in attempts:
        if attempt.doing:
            say(attempt.doing)
        verdict = judge(attempt)
        rounds.append(_told(attempt.title, verdict))
        best = Found(attempt.plan, verdict, tuple(rounds))
        if verdict.passed:
            return best
    assert best is not None
    plan, last = best.plan, attempts[-1]
    harms: dict[tuple[Place, Treatment], float] = {}
    while ladder:
        if not plan:
            rounds.append("no product is left that could be treated more exactly")
            break
        if not _measure(plan, harms, harm, deadline, say):
            rounds.append(f"the time given, {time_s:.0f} s, was over")
            break
        worst = _worst(plan, harms)
        plan = raised(plan, ladder, worst)
        if not _saves(plan, last.plan):
            rounds.append("too few sites would be left to save anything")
            break
        say(f"treating {len(worst)} more exactly")
        verdict = judge(Attempt("", "", plan, last.tables))
        layers = [name for place in worst for name in products[place]]
        rounds.append(_told(f"{len(worst)} more exactly: {_listed(layers)}", verdict))
        best = Found(plan, verdict, tuple(rounds))
        if verdict.passed:
            return best
    return Found(best.plan, best.verdict, tuple(rounds))


def _saves(plan: Plan, whole: Plan) -> bool:
    """Whether enough of what is multiplied is left, or of what is convolved: either is worth its file."""

    def count(places: Plan, *, convolved: bool) -> int:
        return sum(isinstance(whole[place], IntegerConvolution) == convolved for place in places)

    return any(
        count(plan, convolved=convolved) >= max(1, LEAST_QUANTIZED * count(whole, convolved=convolved))
        for convolved in (False, True)
    )


def _measure(
    plan: Plan,
    harms: dict[tuple[Place, Treatment], float],
    harm: Callable[[Plan], float],
    deadline: float,
    say: Say,
) -> bool:
    """Measure the harm of each site of the plan alone; returns whether there was time for it."""
    for number, (place, treatment) in enumerate(plan.items()):
        if time.monotonic() >= deadline:
            return False
        if (place, treatment) not in harms:
            say(f"measuring site {number + 1} of {len(plan)} alone")
            harms[place, treatment] = harm({place: treatment})
    return True


def _worst(plan: Plan, harms: Mapping[tuple[Place, Treatment], float]) -> list[Place]:
    """Choose the fewest sites that cause the round's share of the harm."""
    ranked = sorted(plan, key=lambda place: -harms[place, plan[place]])
    total = sum(harms[place, treatment] for place, treatment in plan.items())
    chosen, covered = [], 0.0
    for place in ranked:
        chosen.append(place)
        covered += harms[place, plan[place]]
        if covered >= SHARE_PER_ROUND * total:
            break
    return chosen


def _told(what: str, verdict: Verdict) -> str:
    return f"{what}: {'passed' if verdict.passed else '; '.join(verdict.missed)}"


def _listed(products: Sequence[str]) -> str:
    return ", ".join(products[:3]) + (f" and {len(products) - 3} more" if len(products) > 3 else "")
