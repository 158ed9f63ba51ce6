"""Targets: what a comparison is to show, and what it showed. Pure: a record in, a value with its interval out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from onnxpress_bench.comparison import BackendInfo, Comparison
from onnxpress_bench.measures import all_series, block_values
from onnxpress_bench.statistics import median_of, paired_gain

Kind = Literal[
    "gain",
    "mean gain",
    "share",
    "efficiency",
    "int8 efficiency",
    "overhead",
    "install",
    "size",
    "quality",
    "less error",
    "difference",
    "kept",
    "footprint",
    "value",
    "more installed",
]

Verdict = Literal["met", "missed", "not shown", "not measured"]


@dataclass(frozen=True, slots=True)
class Target:
    """`kind` says what is looked at: "gain", how many times better `backend` is than `base` in the row called `row`;
    "mean gain", the geometric mean of several rows, separated by "; "; "share", its inverse, for memory; "overhead",
    the same less 1; "efficiency", achieved operations over the best float32 product measured, and "int8 efficiency",
    over the best one of integers; "install", size of the installation over that of `base`; "size", of the model's
    files; "value", the row's own figure; "more installed", megabytes beyond those of `base`; "quality", the figure
    called `row`; "difference", that figure less the one of `base`; "kept", the first of two rows of `backend` over the
    second; "footprint", memory over the model's files and the cache of keys and values together; "less error", how many
    times farther from 1 that figure is for `base`. `at_least` or `at_most` is the limit. `processors`: the kinds of
    processors, by name, that it is for; none: all."""

    title: str
    kind: Kind
    row: str
    backend: str
    base: str = ""
    at_least: float | None = None
    at_most: float | None = None
    processors: tuple[str, ...] = ()

    def holds_on(self, kind: str) -> bool:
        """Whether it is a target for that kind of processor."""
        return not self.processors or kind in self.processors


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
    if target.kind in _COUNTED:
        infos = {info.name: info for info in comparison.backends}
        backend, base = infos.get(target.backend), infos.get(target.base)
        return Outcome(_COUNTED[target.kind](backend, base, target.row) if backend else None, counted=True)
    base_blocks, blocks = _TIMED[target.kind](comparison, target)
    both = sorted(base_blocks.keys() & blocks.keys())
    if not both:
        return Outcome(None)
    first, second = ([side[block] for block in both] for side in (base_blocks, blocks))
    row = all_series(comparison, name=target.row.split("; ")[0])
    lower, seed = all(series.measure.lower_is_better for series in row), comparison.settings.seed
    if target.kind == "value" and row[0].measure.difference:
        return Outcome(*median_of([*block_values(comparison, target.row, target.backend).values()], seed))
    gain = paired_gain(first, second, lower_is_better=lower, seed=seed)
    if target.kind not in ("share", "overhead"):
        return Outcome(gain.ratio, gain.low, gain.high)
    less = 1 if target.kind == "overhead" else 0
    low, high = (None if end is None else (1 / end if end else math.inf) - less for end in (gain.high, gain.low))
    return Outcome(1 / gain.ratio - less, low, high)


Blocks = Mapping[int, float]


def _gain(comparison: Comparison, target: Target) -> tuple[Blocks, Blocks]:
    """The geometric mean of the rows in each block that has all of them; of one row, itself. All rows are of the same
    measure, so that the first says whether less is better."""
    return _mean(comparison, target, target.base), _mean(comparison, target, target.backend)


def _mean(comparison: Comparison, target: Target, backend: str) -> Blocks:
    values = [block_values(comparison, row, backend) for row in target.row.split("; ")]
    common = set.intersection(*(set(blocks) for blocks in values))
    return {block: math.prod(row[block] for row in values) ** (1 / len(values)) for block in common}


def _kept(comparison: Comparison, target: Target) -> tuple[Blocks, Blocks]:
    """Rates of the same blocks: the first row's over the second's."""
    first, second = (block_values(comparison, row, target.backend) for row in target.row.split("; "))
    return second, first


def _efficiency(comparison: Comparison, target: Target) -> tuple[Blocks, Blocks]:
    """The milliseconds that a query takes at the best product's rate, over those of each block."""
    operations, limits = comparison.flops.get(target.row.partition(" ")[2]), comparison.limits
    best = limits and (limits.int8_gemm_gops if target.kind == "int8 efficiency" else limits.fp32_gemm_gflops)
    if operations is None or not best:
        return {}, {}
    blocks = block_values(comparison, target.row, target.backend)
    return dict.fromkeys(blocks, operations / best / 1e6), blocks


def _footprint(comparison: Comparison, target: Target) -> tuple[Blocks, Blocks]:
    """The bytes of each block, over those of the model's files and the cache."""
    model = next((info.model_bytes for info in comparison.backends if info.name == target.backend), None)
    if model is None or comparison.cache_bytes is None:
        return {}, {}
    blocks = block_values(comparison, target.row, target.backend)
    return blocks, dict.fromkeys(blocks, model + comparison.cache_bytes)


def _value(comparison: Comparison, target: Target) -> tuple[Blocks, Blocks]:
    """Each block beside one."""
    blocks = block_values(comparison, target.row, target.backend)
    ones = dict.fromkeys(blocks, 1.0)
    row = all_series(comparison, name=target.row)
    return (blocks, ones) if row and row[0].measure.lower_is_better else (ones, blocks)


#: What is timed, as blocks: `paired_gain` says how many times better the second side is.
_TIMED: Mapping[Kind, Callable[[Comparison, Target], tuple[Blocks, Blocks]]] = {
    "gain": _gain,
    "mean gain": _gain,
    "share": _gain,
    "overhead": _gain,
    "efficiency": _efficiency,
    "int8 efficiency": _efficiency,
    "kept": _kept,
    "footprint": _footprint,
    "value": _value,
}


def _ratio(first: float | None, second: float | None) -> float | None:
    return first / second if first and second else None


def _more_mb(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else (first - second) / 1e6


def _figures(backend: BackendInfo, base: BackendInfo | None, name: str) -> tuple[float, float] | None:
    """A figure of the backend and of the base, where both have it."""
    value, reference = backend.quality.get(name), base.quality.get(name) if base else None
    return None if value is None or reference is None else (value, reference)


def _less_error(backend: BackendInfo, base: BackendInfo | None, name: str) -> float | None:
    both = _figures(backend, base, name)
    return both and (1 - both[1]) / max(1 - both[0], 1e-12)


def _difference(backend: BackendInfo, base: BackendInfo | None, name: str) -> float | None:
    both = _figures(backend, base, name)
    return both and both[0] - both[1]


#: What is counted: of a backend, the base if there is one, and the name of a figure.
_COUNTED: Mapping[Kind, Callable[[BackendInfo, BackendInfo | None, str], float | None]] = {
    "install": lambda backend, base, _: _ratio(backend.install_bytes, base.install_bytes if base else None),
    "more installed": lambda backend, base, _: _more_mb(backend.install_bytes, base.install_bytes if base else None),
    "size": lambda backend, base, _: _ratio(backend.model_bytes, base.model_bytes if base else None),
    "quality": lambda backend, base, name: backend.quality.get(name),
    "less error": _less_error,
    "difference": _difference,
}
