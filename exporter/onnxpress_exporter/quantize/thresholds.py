"""The thresholds that a variant's answers have to reach, by figure: those of its precision's row, or a user's. Pure.

Figures are those of `judging.figures`, and what is lost of the task's own metric (`judging.metrics`). The defaults are
what a search or a classifier built on the original would not notice: a user may set his own for any of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from onnxpress.errors import InputError
from onnxpress.format.fidelity import LOSS, figure_of
from onnxpress.suggestions import did_you_mean
from onnxpress_exporter.judging.metrics import METRICS
from onnxpress_exporter.precisions import PRECISIONS, QUANTIZED
from onnxpress_exporter.precisions.row import Thresholds

#: What may be lost of each metric on labelled data.
_LOSSES = tuple(f"{name}{LOSS}" for name in METRICS)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`figures` by name; `missed`: those beyond their threshold, as text; empty where the variant passed."""

    figures: Mapping[str, float]
    missed: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether every figure is within its threshold."""
        return not self.missed


def thresholds_of(precision: str) -> Thresholds:
    """What a precision's answers have to reach, and what may be lost of each metric on labelled rows."""
    row = PRECISIONS[precision]
    return {**row.thresholds, **dict.fromkeys(_LOSSES, row.metric_loss)}


def misses(figures: Mapping[str, float], thresholds: Thresholds) -> tuple[str, ...]:
    """Describe the figures beyond their thresholds; NaN is beyond every one."""
    missed = []
    for name, value in figures.items():
        if name not in thresholds:
            continue
        limit, figure = thresholds[name], figure_of(name)
        assert figure is not None, f"{name}: is missing in the table of figures"
        if not figure.reached(value, limit):
            bound = "at most" if figure.smaller_is_better else "at least"
            missed.append(f"{name} {value:.6g}, {bound} {limit:g} is needed")
    return tuple(missed)


def parse_thresholds(limits: Mapping[str, float]) -> Thresholds:
    """A user's own thresholds.

    Raises:
        InputError: there is no such figure.
    """
    known = {name for precision in QUANTIZED for name in thresholds_of(precision)}
    unknown = sorted(set(limits) - known)
    if unknown:
        hint = did_you_mean(unknown[0], known)
        names = "".join(f"\n  {name}" for name in sorted(known))
        raise InputError(f"There is no threshold {unknown[0]!r}.{hint} There are:{names}")
    return dict(limits)
