"""What changed between two records, as text and as JSON. Pure: changes in, text out."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from onnxpress.cli.inspection import table
from onnxpress_bench.comparison import Comparison
from onnxpress_bench.report.regression import Change, Differences, QualityChange
from onnxpress_bench.report.terminal import figure, times
from onnxpress_bench.statistics import Gain

FORMAT, FORMAT_VERSION = "onnxpress-bench-compare", 1


def render(found: Differences, before: Comparison, after: Comparison) -> str:
    """Tables of the changes, then what a reader must know, and last the verdict."""
    against = f", relative to {found.relative_to}" if found.relative_to else ""
    parts = [f"A: {_origin(before)}\nB: {_origin(after)}"]
    if found.changes:
        header = ("backend", f"what{against}", "A", "B", "B better than A [95% interval]", "verdict")
        parts.append(table(header, [_row(one) for one in found.changes]))
    if found.qualities:
        parts.append(table(("backend", "answers", "A", "B", "verdict"), [_quality(one) for one in found.qualities]))
    notes = [f"WARNING: {one}" for one in found.warnings]
    notes += [f"MISSING in B: {one}" for one in found.missing]
    notes += [f"REGRESSED: {one}" for one in _regressions(found)]
    notes.append(
        f"A regression is worse by more than {100 * found.threshold:g}% with an interval that excludes 1 (more than 1 "
        "is better), or an answer that became wrong. Of these "
        f"{len(found.changes)} intervals, one in twenty misses by chance."
    )
    count = len(_regressions(found))
    notes.append(f"{count} regression{'s' * (count > 1)}." if found.regressed else "No regression.")
    return "\n\n".join([*parts, "\n".join(notes)])


def to_json(found: Differences) -> dict[str, Any]:
    """For programs. A gain's `low` and `high` are null where there is none: one block, or no end."""
    return {"format": FORMAT, "format_version": FORMAT_VERSION, "regressed": found.regressed, **_finite(asdict(found))}


def _finite(value: Any) -> Any:
    """JSON knows no infinity."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
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


def _regressions(found: Differences) -> list[str]:
    slower = [f"{one.backend}: {one.title}, {_gain(one.gain)}" for one in found.changes if one.verdict == "regressed"]
    wrong = [f"{one.backend}: {one.figure}" for one in found.qualities if one.verdict == "regressed"]
    return [*slower, *wrong, *found.broken]
