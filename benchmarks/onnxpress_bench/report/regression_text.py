"""What changed between two records, as text and as JSON. Pure: changes in, text out."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from onnxpress.cli.inspection import table
from onnxpress_bench.comparison import Comparison
from onnxpress_bench.report.regression import Change, Differences, QualityChange
from onnxpress_bench.report.tables import figure, times
from onnxpress_bench.statistics import Gain

FORMAT, FORMAT_VERSION = "onnxpress-bench-compare", 1


def render(differences: Differences, before: Comparison, after: Comparison) -> str:
    """Tables of the changes, then what a reader must know, and last the verdict."""
    against = f", relative to {differences.relative_to}" if differences.relative_to else ""
    parts = [f"A: {_origin(before)}\nB: {_origin(after)}"]
    if differences.changes:
        header = ("backend", f"what{against}", "A", "B", "B better than A [95% interval]", "verdict")
        parts.append(table(header, [_row(change) for change in differences.changes]))
    if differences.qualities:
        parts.append(
            table(("backend", "answers", "A", "B", "verdict"), [_quality(change) for change in differences.qualities])
        )
    notes = [f"WARNING: {line}" for line in differences.warnings]
    notes += [f"MISSING in B: {line}" for line in differences.missing]
    notes += [f"REGRESSED: {line}" for line in _regressions(differences)]
    notes.append(
        f"A regression is worse by more than {100 * differences.threshold:g}% with an interval that excludes 1 (more "
        "than 1 is better), or an answer that became wrong. Of these "
        f"{len(differences.changes)} intervals, one in twenty misses by chance."
    )
    count = len(_regressions(differences))
    notes.append(f"{count} regression{'s' * (count > 1)}." if differences.regressed else "No regression.")
    return "\n\n".join([*parts, "\n".join(notes)])


def to_json(differences: Differences) -> dict[str, Any]:
    """For programs. A gain's `low` and `high` are null where there is none: one block, or no end."""
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "regressed": differences.regressed,
        **_finite(asdict(differences)),
    }


def _finite(value: Any) -> Any:
    """JSON knows no infinity."""
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _origin(comparison: Comparison) -> str:
    machine, version = comparison.machine, comparison.versions.get("onnxpress", "unknown")
    return f"{comparison.model}, {comparison.created}, {machine.processor}, onnxpress {version}"


def _row(change: Change) -> list[str]:
    shown = [
        times(value) if change.unit == "x" else figure(value, change.unit) for value in (change.before, change.after)
    ]
    verdict = change.verdict.upper() if change.verdict == "regressed" else change.verdict
    return [change.backend, change.title, *shown, _gain(change.gain), verdict]


def _gain(gain: Gain) -> str:
    if gain.low is None or gain.high is None:
        return f"{gain.ratio:.3f}x (no interval)"
    return f"{gain.ratio:.3f}x [{gain.low:.3f}, {gain.high:.3f}]"


def _quality(change: QualityChange) -> list[str]:
    shown = ["none" if value is None else f"{value:.6f}" for value in (change.before, change.after)]
    verdict = change.verdict.upper() if change.verdict == "regressed" else change.verdict
    return [change.backend, change.figure, *shown, verdict]


def _regressions(differences: Differences) -> list[str]:
    slower = [
        f"{change.backend}: {change.title}, {_gain(change.gain)}"
        for change in differences.changes
        if change.verdict == "regressed"
    ]
    wrong = [f"{change.backend}: {change.figure}" for change in differences.qualities if change.verdict == "regressed"]
    return [*slower, *wrong, *differences.broken]
