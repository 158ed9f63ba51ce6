"""Which form is clearly faster than the default one: a rule over times that were taken in turn. Pure.

In each round every form runs once, so that whatever else the machine does hits all of them. Of each round the form's
time over the default's counts; of all rounds their median, and an interval that holds the true one in 99 of 100 cases,
whatever the noise is like. A noisy machine has wide intervals, and nothing wins there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median

from onnxpress.format.manifest import FormTime
from onnxpress.format.variants import DEFAULT_FORM

#: The default form once more, in a session of its own: what differs between the two is chance.
CONTROL = "the default form again"

#: A form wins only if its time is surely below this share of the default's: two runs of one form differ by as much.
CLEAR = 0.97
#: Chance that a median lies outside its interval.
_OUTSIDE = 0.01

#: Times of every form at one shape, in seconds, by round.
Rounds = Mapping[str, Sequence[float]]


def compared(rounds: Rounds, batch: int, sequence: int) -> dict[str, FormTime]:
    """Each form beside the default one, at one shape."""
    default = rounds[DEFAULT_FORM]
    times = {}
    for form, seconds in rounds.items():
        ratios = sorted(mine / theirs for mine, theirs in zip(seconds, default, strict=True))
        low, high = interval(ratios)
        times[form] = FormTime(
            batch,
            sequence,
            milliseconds=round(median(seconds) * 1000, 4),
            least_milliseconds=round(min(seconds) * 1000, 4),
            over_default=round(median(ratios), 4),
            low=round(low, 4),
            high=round(high, 4),
        )
    return times


def interval(ordered: Sequence[float]) -> tuple[float, float]:
    """An interval that holds the median of what these numbers are drawn from, by their order alone: as if nothing were
    known where they are too few."""
    count = len(ordered)
    below, chance = 0, 0.5**count
    outside = 2 * chance
    if outside > _OUTSIDE:
        return 0.0, math.inf
    while True:
        chance *= (count - below) / (below + 1)
        if outside + 2 * chance > _OUTSIDE:
            return ordered[below], ordered[count - 1 - below]
        outside += 2 * chance
        below += 1


def winners(times: Mapping[str, Sequence[FormTime]]) -> list[str]:
    """The forms that are clearly faster than the default, the fastest first: over all shapes together, and clearly
    slower at none. None are where the default form differs from itself."""
    control = times.get(CONTROL, ())
    if _over(control, "high") < CLEAR or _over(control, "low") > 1 / CLEAR:
        return []
    clear = [
        form
        for form, shapes in times.items()
        if form not in (DEFAULT_FORM, CONTROL)
        and _over(shapes, "high") < CLEAR
        and all(shape.low <= 1 / CLEAR for shape in shapes)
    ]
    return sorted(clear, key=lambda form: _over(times[form], "over_default"))


def _over(shapes: Sequence[FormTime], figure: str) -> float:
    """Geometric mean over shapes; 1 where there are none. Of ends of intervals it is an end of one that is too wide
    rather than too narrow."""
    values = [getattr(shape, figure) for shape in shapes]
    if not values or 0 in values:
        return 1.0 if not values else 0.0
    return math.exp(sum(map(math.log, values)) / len(values))
