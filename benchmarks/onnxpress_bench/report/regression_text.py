"""What changed between two records, as text by the layout compare.txt, and as JSON. Pure: changes in, text out."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from onnxpress_bench.comparison import Comparison
from onnxpress_bench.record import finite
from onnxpress_bench.report.layout import fill
from onnxpress_bench.report.regression import Change, Differences, QualityChange
from onnxpress_bench.report.table import figure, interval, table_of, times
from onnxpress_bench.statistics import Gain

FORMAT, FORMAT_VERSION = "onnxpress-bench-compare", 1


def render(differences: Differences, before: Comparison, after: Comparison) -> str:
    """Tables of the changes, then what a reader must know, and last the verdict."""
    against = f", relative to {differences.relative_to}" if differences.relative_to else ""
    shown = (
        table_of(
            "backend",
            [f"what{against}", "A", "B", "B better than A [95% interval]", "verdict"],
            [(change.backend, _cells(change)) for change in differences.changes],
        ),
        table_of(
            "backend",
            ["answers", "A", "B", "verdict"],
            [
                (change.backend, [change.figure, _value(change.before), _value(change.after), _verdict(change)])
                for change in differences.qualities
            ],
        ),
    )
    regressed = _regressions(differences)
    return fill("compare.txt", before=before, after=after, differences=differences, tables=shown, regressed=regressed)


def to_json(differences: Differences) -> dict[str, Any]:
    """For programs. A gain's `low` and `high` are null where there is none: one block, or no end."""
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "regressed": differences.regressed,
        **finite(asdict(differences)),
    }


def _cells(change: Change) -> list[str]:
    shown = [
        times(value) if change.unit == "x" else figure(value, change.unit) for value in (change.before, change.after)
    ]
    return [change.title, *shown, _gain(change.gain), _verdict(change)]


def _verdict(change: Change | QualityChange) -> str:
    return change.verdict.upper() if change.verdict == "regressed" else change.verdict


def _gain(gain: Gain) -> str:
    return f"{gain.ratio:.3f}x{interval(gain, 3) or ' (no interval)'}"


def _value(value: float | None) -> str:
    return "none" if value is None else f"{value:.6f}"


def _regressions(differences: Differences) -> list[str]:
    slower = [
        f"{change.backend}: {change.title}, {_gain(change.gain)}"
        for change in differences.changes
        if change.verdict == "regressed"
    ]
    wrong = [f"{change.backend}: {change.figure}" for change in differences.qualities if change.verdict == "regressed"]
    return [*slower, *wrong, *differences.broken]
