"""Targets: what a comparison is to show, and what it showed. Pure: a record in, a value with its interval out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from onnxpress_bench.comparison import Comparison
from onnxpress_bench.measures import block_values, gain_between
from onnxpress_bench.statistics import Gain, paired_gain

Kind = Literal[
    "gain",
    "mean gain",
    "share",
    "efficiency",
    "overhead",
    "install",
    "size",
    "quality",
    "less error",
    "difference",
    "kept",
    "footprint",
]

Verdict = Literal["met", "missed", "not shown", "not measured"]


@dataclass(frozen=True, slots=True)
class Target:
    """`kind` says what is looked at: "gain", how many times better `backend` is than `base` in the row called `row`;
    "mean gain", the geometric mean of several rows, separated by "; "; "share", its inverse, for memory;
    "overhead", the same less 1; "efficiency", achieved operations over the best float32 product measured; "install",
    size of the installation over that of `base`; "size", of the model's files; "quality", the figure called `row`;
    "difference", that figure less the one of `base`; "kept", the first of two rows of `backend` over the second;
    "footprint", memory over the model's files and the cache of keys and values together; "less error", how many times
    farther from 1 that figure is for `base`. `at_least` or `at_most` is the limit."""

    title: str
    kind: Kind
    row: str
    backend: str
    base: str = ""
    at_least: float | None = None
    at_most: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """`value` None: it was not measured. `low` and `high`: the 95% interval of what was timed or taken from blocks;
    None where there was one block only. `counted`: sizes and answers to given items, which no second run changes."""

    value: float | None
    low: float | None = None
    high: float | None = None
    counted: bool = False

    def verdict(self, target: Target) -> Verdict:
        """ "met" and "missed" only where the whole interval lies on one side of the limit; "not shown" where it reaches
        past the limit, or where one block gives no interval."""
        if self.value is None:
            return "not measured"
        low, high = (self.value, self.value) if self.counted else (self.low, self.high)
        if low is None or high is None:
            return "not shown"
        if target.at_least is not None:
            return "met" if low >= target.at_least else "missed" if high < target.at_least else "not shown"
        assert target.at_most is not None
        return "met" if high <= target.at_most else "missed" if low > target.at_most else "not shown"


def outcome(comparison: Comparison, target: Target) -> Outcome:
    """What the comparison shows of a target."""
    return _KINDS[target.kind](comparison, target)


def _of_gain(gain: Gain | None) -> Outcome:
    return Outcome(None) if gain is None else Outcome(gain.ratio, gain.low, gain.high)


def _counted(value: float | None) -> Outcome:
    return Outcome(value, counted=True)


def _gain(comparison: Comparison, target: Target) -> Outcome:
    return _of_gain(gain_between(comparison, target.row, target.base, target.backend))


def _share(comparison: Comparison, target: Target) -> Outcome:
    gain = _gain(comparison, target)
    if gain.value is None:
        return gain
    low, high = (_inverse(end) for end in (gain.high, gain.low))
    return Outcome(1 / gain.value, low, high)


def _inverse(end: float | None) -> float | None:
    """Of an end of an interval; that of 0 is infinite."""
    return None if end is None else 1 / end if end else math.inf


def _overhead(comparison: Comparison, target: Target) -> Outcome:
    share = _share(comparison, target)
    if share.value is None:
        return share
    low, high = (None if end is None else end - 1 for end in (share.low, share.high))
    return Outcome(share.value - 1, low, high)


def _efficiency(comparison: Comparison, target: Target) -> Outcome:
    """The milliseconds that a query takes at the best product's rate, over those of each block."""
    operations = comparison.flops.get(target.row.partition(" ")[2])
    blocks = block_values(comparison, target.row, target.backend)
    if operations is None or comparison.limits is None or not blocks:
        return Outcome(None)
    best_ms = operations / comparison.limits.fp32_gemm_gflops / 1e6
    return _over_blocks(comparison, best_ms, list(blocks.values()))


def _over_blocks(comparison: Comparison, constant: float, values: Sequence[float]) -> Outcome:
    """A constant over the value of each block."""
    seed = comparison.settings.seed
    return _of_gain(paired_gain([constant] * len(values), values, lower_is_better=True, seed=seed))


def _mean_gain(comparison: Comparison, target: Target) -> Outcome:
    """Of the blocks that have all rows: the geometric mean in each, and then as for one row. All rows are of the same
    measure, so that the first says whether less is better."""
    rows = target.row.split("; ")
    gains = [gain_between(comparison, row, target.base, target.backend) for row in rows]
    if not all(gains):
        return Outcome(None)
    means = [_geometric_means(comparison, rows, name) for name in (target.base, target.backend)]
    blocks = sorted(means[0].keys() & means[1].keys())
    if not blocks:
        return Outcome(None)
    base, compared = ([side[block] for block in blocks] for side in means)
    lower = rows[0].startswith("latency")
    return _of_gain(paired_gain(base, compared, lower_is_better=lower, seed=comparison.settings.seed))


def _geometric_means(comparison: Comparison, rows: Sequence[str], backend: str) -> dict[int, float]:
    """By block, of those blocks that have all rows."""
    values = [block_values(comparison, row, backend) for row in rows]
    common = set.intersection(*(set(blocks) for blocks in values))
    return {block: math.exp(sum(math.log(row[block]) for row in values) / len(values)) for block in common}


def _install(comparison: Comparison, target: Target) -> Outcome:
    sizes = {info.name: info.install_bytes for info in comparison.backends}
    compared, base = sizes.get(target.backend), sizes.get(target.base)
    return _counted(compared / base if compared and base else None)


def _size(comparison: Comparison, target: Target) -> Outcome:
    sizes = {info.name: info.model_bytes for info in comparison.backends}
    compared, base = sizes.get(target.backend), sizes.get(target.base)
    return _counted(compared / base if compared and base else None)


def _quality(comparison: Comparison, target: Target) -> Outcome:
    return _counted(_figure(comparison, target.backend, target.row))


def _figure(comparison: Comparison, backend: str, name: str) -> float | None:
    return next((info.quality.get(name) for info in comparison.backends if info.name == backend), None)


def _less_error(comparison: Comparison, target: Target) -> Outcome:
    compared, base = (_figure(comparison, name, target.row) for name in (target.backend, target.base))
    if compared is None or base is None:
        return Outcome(None)
    return _counted((1 - base) / max(1 - compared, 1e-12))


def _difference(comparison: Comparison, target: Target) -> Outcome:
    compared, base = (_figure(comparison, name, target.row) for name in (target.backend, target.base))
    return _counted(None if compared is None or base is None else compared - base)


def _kept(comparison: Comparison, target: Target) -> Outcome:
    """Rates of the same blocks: the first row's over the second's."""
    first, second = (block_values(comparison, row, target.backend) for row in target.row.split("; "))
    blocks = sorted(first.keys() & second.keys())
    if not blocks:
        return Outcome(None)
    before, after = ([side[block] for block in blocks] for side in (second, first))
    return _of_gain(paired_gain(before, after, lower_is_better=False, seed=comparison.settings.seed))


def _footprint(comparison: Comparison, target: Target) -> Outcome:
    blocks = block_values(comparison, target.row, target.backend)
    model = next((info.model_bytes for info in comparison.backends if info.name == target.backend), None)
    if not blocks or model is None or comparison.cache_bytes is None:
        return Outcome(None)
    needed = model + comparison.cache_bytes
    return _over_blocks(comparison, 1 / needed, [1 / value for value in blocks.values()])


_KINDS: Mapping[Kind, Callable[[Comparison, Target], Outcome]] = {
    "gain": _gain,
    "share": _share,
    "overhead": _overhead,
    "efficiency": _efficiency,
    "install": _install,
    "mean gain": _mean_gain,
    "size": _size,
    "quality": _quality,
    "less error": _less_error,
    "difference": _difference,
    "kept": _kept,
    "footprint": _footprint,
}
