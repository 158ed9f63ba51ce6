"""How far a run can be trusted: what disturbed it, and what its A/A control shows. Pure: a record in, findings out."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from onnxpress_bench.comparison import Comparison, Run
from onnxpress_bench.measures import Row, gain_between, summarize
from onnxpress_bench.statistics import Gain

#: Cores that others may use, and that the hypervisor may take, during a block before it counts as disturbed.
OTHERS_CORES, STOLEN_CORES = 0.15, 0.05

#: A fixed piece of work may take so much longer in one block than in the quickest before the clock is called unsteady.
SPIN_SHARE = 0.15

#: Quartiles of a backend's blocks further apart than this share of the median: too noisy to compare closely.
SPREAD_SHARE = 0.15


@dataclass(frozen=True, slots=True)
class Control:
    """A measure in which a backend was compared with a copy of itself."""

    row: str
    title: str
    gain: Gain


@dataclass(frozen=True, slots=True)
class Findings:
    """`floor`: by how much identical backends differed, as a share: 0.02 is 2%, of the median measure; None without a
    control. `false_alarms`: controls whose interval excludes 1. `disturbed`: (backend, block) of disturbed blocks.
    `warnings`: sentences for the report."""

    controls: tuple[Control, ...]
    floor: float | None
    false_alarms: tuple[str, ...]
    disturbed: tuple[tuple[str, int], ...]
    warnings: tuple[str, ...]


def findings(comparison: Comparison, rows: Sequence[Row] | None = None) -> Findings:
    """What a reader must know before trusting the figures."""
    rows = summarize(comparison) if rows is None else rows
    controls = _controls(comparison, rows)
    floor = statistics.median(abs(math.log(control.gain.ratio)) for control in controls) if controls else None
    alarms = tuple(control.title for control in controls if control.gain.verdict != "no difference shown")
    disturbed = tuple((run.backend, run.block) for run in comparison.runs if _disturbed(run))
    return Findings(
        controls, floor, alarms, disturbed, tuple(_warnings(comparison, rows, alarms, len(controls), disturbed))
    )


def _controls(comparison: Comparison, rows: Sequence[Row]) -> tuple[Control, ...]:
    copy = comparison.control
    if copy is None or copy.control_of is None:
        return ()
    controls = []
    for row in rows:
        gain = gain_between(comparison, row.name, copy.control_of, copy.name) if row.gains else None
        if gain is not None and gain.low is not None:
            controls.append(Control(row.name, row.title, gain))
    return tuple(controls)


def _disturbed(run: Run) -> bool:
    return run.noise.get("others_cores", 0.0) > OTHERS_CORES or run.noise.get("stolen_cores", 0.0) > STOLEN_CORES


def _warnings(
    comparison: Comparison,
    rows: Sequence[Row],
    alarms: Sequence[str],
    controls: int,
    disturbed: Sequence[tuple[str, int]],
) -> list[str]:
    machine, warnings = comparison.machine, []
    if machine.busy:
        warnings.append(
            f"The machine was busy ({machine.busy_share:.0%} of the usable cores, load average {machine.load_average}) "
            "when the run began. Trust the gains more than the times, and neither very much."
        )
    if disturbed:
        warnings.append(
            f"Other processes, or the hypervisor, took time from {len(disturbed)} of {len(comparison.runs)} blocks. "
            "Close what else runs and measure again before relying on small differences."
        )
    spins = [
        run.noise[name] for run in comparison.runs for name in ("spin_before_ms", "spin_after_ms") if name in run.noise
    ]
    # One hiccup is no trend: a tenth of the readings must be slow.
    if len(spins) > 1 and statistics.quantiles(spins, n=10)[-1] > min(spins) * (1 + SPIN_SHARE):
        warnings.append(
            f"The processor's speed was unsteady: a fixed piece of work took between {min(spins):.1f} and "
            f"{max(spins):.1f} ms (heat, power saving or neighbours)."
        )
    if machine.governor not in (None, "performance"):
        warnings.append(f"The clock's governor is {machine.governor!r}; with 'performance' times are steadier.")
    if machine.on_battery:
        warnings.append("The machine ran on battery, which may slow it down.")
    noisy = [
        row.title for row in rows if any((spread or 0) > SPREAD_SHARE for spread in row.spreads.values()) and row.gains
    ]
    if noisy:
        warnings.append(
            f"Too noisy for close comparisons (a backend's blocks spread by over {SPREAD_SHARE:.0%}): {_listed(noisy)}."
        )
    # One false alarm in twenty is what intervals of 95% promise.
    if len(alarms) > max(1, round(controls / 10)):
        warnings.append(
            "The A/A control, one backend against its own copy, found a difference where there is none: "
            f"{_listed(alarms)}. The machine changes too quickly for this many blocks; measure with more."
        )
    return warnings


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
