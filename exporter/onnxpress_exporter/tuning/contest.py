"""Which form is clearly faster than the default one: a rule over times that were taken in turn. Pure.

In each round every form runs once, so that whatever else the machine does hits all of them. Of each round the form's
time over the default's counts; of all rounds their median, and an interval that holds the true one in 99 of 100 cases,
whatever the noise is like. A noisy machine has wide intervals, and nothing wins there.

A first, short heat only says which forms are worth a final and which are worth trying together; who won is told by
the final's own rounds, so that luck in the heat decides nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from onnxpress.format.manifest import FormTime
from onnxpress.format.variants import CONTROL, DEFAULT_FORM

#: A form wins only if its time is surely below this share of the default's: two runs of one form differ by as much.
CLEAR = 0.97
#: A form takes part in the final if its median is below this share.
PROMISING = 0.99
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
        low, high = interval(ratios) or (None, None)
        times[form] = FormTime(
            batch,
            sequence,
            milliseconds=round(median(seconds) * 1000, 4),
            least_milliseconds=round(min(seconds) * 1000, 4),
            over_default=round(median(ratios), 4),
            low=low if low is None else round(low, 4),
            high=high if high is None else round(high, 4),
        )
    return times


def interval(ordered: Sequence[float]) -> tuple[float, float] | None:
    """An interval that holds the median of what these numbers are drawn from, by their order alone; None: they are too
    few to tell."""
    count = len(ordered)
    outside = chance = 2 * 0.5**count  # that all lie on one side
    if outside > _OUTSIDE:
        return None
    below = 0
    while True:
        chance *= (count - below) / (below + 1)
        if outside + chance > _OUTSIDE:
            return ordered[below], ordered[count - 1 - below]
        outside += chance
        below += 1


def promising(times: Mapping[str, Sequence[FormTime]]) -> list[str]:
    """The forms whose medians, over all shapes together, are below the default's; the fastest first."""
    ratios = {
        form: math.exp(sum(math.log(shape.over_default) for shape in shapes) / len(shapes))
        for form, shapes in times.items()
        if shapes and form not in (DEFAULT_FORM, CONTROL)
    }
    return sorted((form for form, ratio in ratios.items() if ratio < PROMISING), key=lambda form: ratios[form])


def winners(times: Mapping[str, Sequence[FormTime]]) -> list[str]:
    """The forms that are clearly faster than the default, the fastest first: over all shapes together, and clearly
    slower at none. None are where the default form differs from itself."""
    control = _mean(times.get(CONTROL, ()))
    if control is None or control.high < CLEAR or control.low > 1 / CLEAR:
        return []
    means = {form: _mean(shapes) for form, shapes in times.items() if form not in (DEFAULT_FORM, CONTROL)}
    clear = {
        form: mean.ratio
        for form, mean in means.items()
        if mean is not None and mean.high < CLEAR and all((shape.low or 0) <= 1 / CLEAR for shape in times[form])
    }
    return sorted(clear, key=lambda form: clear[form])


@dataclass(frozen=True, slots=True)
class _Mean:
    """Geometric means over shapes. Those of ends of intervals end one that is rather too wide than too narrow."""

    ratio: float
    low: float
    high: float


def _mean(shapes: Sequence[FormTime]) -> _Mean | None:
    """None: there is no shape, or one of too few rounds."""
    ends = [(shape.over_default, shape.low, shape.high) for shape in shapes]
    logs = [(math.log(ratio), math.log(low), math.log(high)) for ratio, low, high in ends if low and high]
    if not logs or len(logs) < len(ends):
        return None
    return _Mean(*(math.exp(sum(column) / len(logs)) for column in zip(*logs, strict=True)))
