"""Samples to figures: the table of measures, and one row of the comparison for each.

A block gives one value per measure; a figure is the median of its blocks, and a gain pairs the blocks. Knows nothing
of how samples are taken or of how rows look.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from onnxpress_bench.comparison import BASE, Comparison
from onnxpress_bench.statistics import Gain, paired_gain, percentile


@dataclass(frozen=True, slots=True)
class Measure:
    """`title` may use the mean tokens of a class of lengths, and the unit of items. `detail` rows get no gain."""

    title: str
    samples: str
    unit: str
    statistic: Callable[[Sequence[float]], float] = statistics.median
    lower_is_better: bool = True
    detail: bool = False


_P50, _P95 = partial(percentile, q=50), partial(percentile, q=95)

MEASURES: tuple[Measure, ...] = (
    Measure("latency p50, {short:.0f} tokens", "latency_short_ms", "ms", _P50),
    Measure("latency p95, {short:.0f} tokens", "latency_short_ms", "ms", _P95),
    Measure("latency p50, {long:.0f} tokens", "latency_long_ms", "ms", _P50),
    Measure("latency p95, {long:.0f} tokens", "latency_long_ms", "ms", _P95),
    Measure("throughput, mixed lengths", "throughput_per_s", "{unit}/s", lower_is_better=False),
    Measure("cold start to first answer", "cold_start_s", "s"),
    Measure("  starting Python", "cold_python_s", "s", detail=True),
    Measure("  import", "cold_import_s", "s", detail=True),
    Measure("  load", "cold_load_s", "s", detail=True),
    Measure("  first call", "cold_first_call_s", "s", detail=True),
    Measure("memory at first answer", "memory_first_bytes", "B"),
    Measure("peak memory", "memory_peak_bytes", "B"),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One measure: each backend's figure, and the gain over PyTorch of each other backend."""

    title: str
    unit: str
    lower_is_better: bool
    values: Mapping[str, float]
    gains: Mapping[str, Gain]
    verdicts: Mapping[str, str]


def summarize(comparison: Comparison) -> list[Row]:
    """The rows that there are samples for."""
    rows = []
    for measure in MEASURES:
        blocks = {backend: _by_block(comparison, backend, measure) for backend in comparison.backends}
        values = {backend: statistics.median(some.values()) for backend, some in blocks.items() if some}
        if not values:
            continue
        gains = {} if measure.detail else _gains(blocks, measure, comparison.settings.seed)
        rows.append(
            Row(
                title=measure.title.format(**comparison.tokens),
                unit=measure.unit.format(unit=comparison.unit),
                lower_is_better=measure.lower_is_better,
                values=values,
                gains=gains,
                verdicts={backend: gain.verdict for backend, gain in gains.items()},
            )
        )
    return rows


def _by_block(comparison: Comparison, backend: str, measure: Measure) -> dict[int, float]:
    return {
        run.block: measure.statistic(run.samples[measure.samples])
        for run in comparison.runs
        if run.backend == backend and run.samples.get(measure.samples)
    }


def _gains(blocks: Mapping[str, Mapping[int, float]], measure: Measure, seed: int) -> dict[str, Gain]:
    """Only blocks that both sides finished are compared."""
    gains = {}
    for backend, values in blocks.items():
        both = sorted(values.keys() & blocks.get(BASE, {}).keys())
        if backend != BASE and both:
            base, other = [blocks[BASE][i] for i in both], [values[i] for i in both]
            gains[backend] = paired_gain(base, other, lower_is_better=measure.lower_is_better, seed=seed)
    return gains
