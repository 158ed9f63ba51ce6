"""Targets: what a comparison is to show, and what it showed. Pure: a record in, a value with its interval out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from onnxpress_bench.comparison import Comparison
from onnxpress_bench.measures import gain_between, summarize
from onnxpress_bench.report.terminal import achieved

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


@dataclass(frozen=True, slots=True)
class Target:
    """`kind` says what is looked at: "gain", how many times better `backend` is than `base` in the row called `row`;
    "mean gain", the geometric mean of several rows, separated by "; "; "share", its inverse, for memory;
    "overhead", the same less 1; "efficiency", achieved operations over the machine's multiply-adds; "install",
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
    """`value` None: it was not measured. `low` and `high`: the 95% interval, where there is one."""

    value: float | None
    low: float | None = None
    high: float | None = None

    def met(self, target: Target) -> bool | None:
        """Whether the value is within the limit; None if there is no value."""
        if self.value is None:
            return None
        if target.at_least is not None and self.value < target.at_least:
            return False
        return not (target.at_most is not None and self.value > target.at_most)


def outcome(comparison: Comparison, target: Target) -> Outcome:
    """What the comparison shows of a target."""
    return _KINDS[target.kind](comparison, target)


def _gain(comparison: Comparison, target: Target) -> Outcome:
    gain = gain_between(comparison, target.row, target.base, target.backend)
    return Outcome(None) if gain is None else Outcome(gain.ratio, gain.low, gain.high)


def _share(comparison: Comparison, target: Target) -> Outcome:
    gain = _gain(comparison, target)
    if gain.value is None:
        return gain
    low, high = (None if one is None else 1 / one for one in (gain.high, gain.low))
    return Outcome(1 / gain.value, low, high)


def _overhead(comparison: Comparison, target: Target) -> Outcome:
    share = _share(comparison, target)
    if share.value is None:
        return share
    low, high = (None if one is None else one - 1 for one in (share.low, share.high))
    return Outcome(share.value - 1, low, high)


def _efficiency(comparison: Comparison, target: Target) -> Outcome:
    row = next((one for one in summarize(comparison) if one.name == target.row), None)
    if row is None or target.backend not in row.values or comparison.limits is None:
        return Outcome(None)
    point = achieved(comparison, row, target.backend)
    return Outcome(None if point is None else point[0] / comparison.limits.fp32_fma_gflops)


def _install(comparison: Comparison, target: Target) -> Outcome:
    sizes = {one.name: one.install_bytes for one in comparison.backends}
    own, base = sizes.get(target.backend), sizes.get(target.base)
    return Outcome(own / base if own and base else None)


def _mean_gain(comparison: Comparison, target: Target) -> Outcome:
    gains = [gain_between(comparison, row, target.base, target.backend) for row in target.row.split("; ")]
    if not all(gains):
        return Outcome(None)
    ratios = [gain.ratio for gain in gains if gain is not None]
    return Outcome(math.exp(sum(map(math.log, ratios)) / len(ratios)))


def _size(comparison: Comparison, target: Target) -> Outcome:
    sizes = {one.name: one.model_bytes for one in comparison.backends}
    own, base = sizes.get(target.backend), sizes.get(target.base)
    return Outcome(own / base if own and base else None)


def _quality(comparison: Comparison, target: Target) -> Outcome:
    return Outcome(_figure(comparison, target.backend, target.row))


def _figure(comparison: Comparison, backend: str, name: str) -> float | None:
    return next((one.quality.get(name) for one in comparison.backends if one.name == backend), None)


def _less_error(comparison: Comparison, target: Target) -> Outcome:
    own, base = (_figure(comparison, name, target.row) for name in (target.backend, target.base))
    if own is None or base is None:
        return Outcome(None)
    return Outcome((1 - base) / max(1 - own, 1e-12))


def _difference(comparison: Comparison, target: Target) -> Outcome:
    own, base = (_figure(comparison, name, target.row) for name in (target.backend, target.base))
    return Outcome(None if own is None or base is None else own - base)


def _kept(comparison: Comparison, target: Target) -> Outcome:
    values = [_row_value(comparison, row, target.backend) for row in target.row.split("; ")]
    first, second = values
    return Outcome(first / second if first and second else None)


def _footprint(comparison: Comparison, target: Target) -> Outcome:
    memory = _row_value(comparison, target.row, target.backend)
    model = next((one.model_bytes for one in comparison.backends if one.name == target.backend), None)
    if memory is None or model is None or comparison.cache_bytes is None:
        return Outcome(None)
    return Outcome(memory / (model + comparison.cache_bytes))


def _row_value(comparison: Comparison, row: str, backend: str) -> float | None:
    return next((one.values.get(backend) for one in summarize(comparison) if one.name == row), None)


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
