"""Pure functions on samples: percentiles, when a warm-up is over, and ratios with their intervals.

Knows nothing of backends or of what the samples mean.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Verdict = Literal["better", "worse", "no difference shown"]

RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Gain:
    """How many times better, with its 95% interval; `low` and `high` are None if there was only one block."""

    ratio: float
    low: float | None
    high: float | None

    @property
    def verdict(self) -> Verdict:
        """A difference is claimed only where the interval excludes 1."""
        if self.low is None or self.high is None or self.low <= 1 <= self.high:
            return "no difference shown"
        return "better" if self.low > 1 else "worse"


def percentile(samples: Sequence[float], q: float) -> float:
    """The q-th percentile, 0 to 100, interpolated linearly."""
    return float(np.percentile(np.asarray(samples, dtype=np.float64), q))


def paired_gain(base: Sequence[float], other: Sequence[float], *, lower_is_better: bool, seed: int = 0) -> Gain:
    """How many times better `other` is than `base`, one value per block in each, block by block.

    The estimate is the median of the blocks' ratios. Its interval is made on the logarithm of the ratios, so that
    swapping the two sides inverts it: the median's standard error by the bootstrap over blocks, times Student's t.
    The plain percentile bootstrap is too narrow for a handful of blocks: it covers 84% with five where 95% is
    promised. (T. Hesterberg, What Teachers Should Know about the Bootstrap, 2015, on both.)

    Raises:
        ValueError: not the same number of values, none, or one that is not positive.
    """
    if len(base) != len(other) or not len(base):
        raise ValueError(f"{len(base)} and {len(other)} blocks cannot be paired")
    logs = _logs(base) - _logs(other)
    logs = logs if lower_is_better else -logs
    return _gain(float(np.median(logs)), [logs], seed)


def unpaired_gain(before: Sequence[float], after: Sequence[float], *, lower_is_better: bool, seed: int = 0) -> Gain:
    """How many times better `after` is than `before`, one value per block in each, blocks not belonging together.

    That is so for two runs: their blocks met the machine in different hours, and need not be equally many. The
    estimate is the ratio of the medians; its interval is that of the difference of the medians of the logarithms: each
    side's standard error by the bootstrap, resampled apart (B. Efron and R. Tibshirani, An Introduction to the
    Bootstrap, 1993, chapter 8), times Student's t with Welch's degrees of freedom, since one run may be noisier than
    the other (B. L. Welch, The Generalization of "Student's" Problem when Several Different Population Variances are
    Involved, Biometrika 34, 1947).

    Raises:
        ValueError: a side without values, or a value that is not positive.
    """
    if not len(before) or not len(after):
        raise ValueError(f"{len(before)} and {len(after)} blocks cannot be compared")
    first, second = (_logs(side) for side in ((before, after) if lower_is_better else (after, before)))
    return _gain(float(np.median(first) - np.median(second)), [first, second], seed)


def _logs(values: Sequence[float]) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if not np.all(array > 0):
        raise ValueError("ratios need positive values")
    return np.log(array)


def _gain(middle: float, groups: Sequence[NDArray[np.float64]], seed: int) -> Gain:
    """From a logarithm, and the groups whose medians it is made of."""
    reach = _reach(groups, seed)
    if reach is None:
        return Gain(float(np.exp(middle)), None, None)
    # A heavy tail may overflow exp: an interval without an upper end is then an honest answer.
    with np.errstate(over="ignore"):
        low, ratio, high = np.exp([middle - reach, middle, middle + reach])
    return Gain(float(ratio), float(low), float(high))


def median_of(values: Sequence[float], seed: int = 0) -> tuple[float, float | None, float | None]:
    """The median of blocks' values, which may be of any sign, and its 95% interval; None: there is one block only. As
    of `paired_gain`, of the values themselves.

    Raises:
        ValueError: there are none.
    """
    if not len(values):
        raise ValueError("no blocks have no median")
    array = np.asarray(values, dtype=np.float64)
    middle, reach = float(np.median(array)), _reach([array], seed)
    return (middle, None, None) if reach is None else (middle, middle - reach, middle + reach)


def _reach(groups: Sequence[NDArray[np.float64]], seed: int) -> float | None:
    """How far from the difference of groups' medians their interval reaches: Student's t, two-sided 95%, to the three
    digits of printed tables. Of one group, Welch's degrees of freedom are one less than its blocks."""
    if min(values.size for values in groups) == 1:
        return None
    from scipy.special import stdtrit  # here: workers measure memory and cold starts, and have no scipy

    dice = np.random.default_rng(seed)
    variances = [_median_variance(values, dice) for values in groups]
    spread = sum(variance**2 / (values.size - 1) for variance, values in zip(variances, groups, strict=True))
    freedom = sum(variances) ** 2 / spread if spread else min(values.size for values in groups) - 1
    return math.sqrt(sum(variances)) * round(float(stdtrit(int(freedom + 1e-9), 0.975)), 3)


def _median_variance(values: NDArray[np.float64], dice: np.random.Generator) -> float:
    """The variance of the median of float64 (blocks,), by the bootstrap."""
    blocks = values.size
    picks = dice.integers(blocks, size=(RESAMPLES, blocks))
    # The bootstrap's variance is that of a population; blocks / (blocks - 1) makes it that of a sample.
    return float(np.median(values[picks], axis=1).var()) * blocks / (blocks - 1)


def is_stable(samples: Sequence[float], window: int = 5, tolerance: float = 0.05) -> bool:
    """Whether the median of the last `window` samples is within `tolerance` of that of the `window` before them."""
    if len(samples) < 2 * window:
        return False
    before, last = np.median(samples[-2 * window : -window]), np.median(samples[-window:])
    return bool(abs(last - before) <= tolerance * before)
