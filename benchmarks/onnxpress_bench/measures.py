"""Samples to figures: the table of measures, and one row of the comparison for each.

A block gives one value per measure; a figure is the median of its blocks, and a gain pairs the blocks. Knows nothing
of how samples are taken or of how rows look.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from onnxpress_bench.comparison import Comparison
from onnxpress_bench.statistics import Gain, paired_gain, percentile


@dataclass(frozen=True, slots=True)
class Measure:
    """`samples`: a pattern of names of samples; each name that fits makes a row. `title` may use the pattern's groups,
    the mean tokens of an item, and the unit of items. `least`: samples that a block needs for it. `detail` rows get
    no gain."""

    name: str
    title: str
    samples: str
    unit: str
    statistic: Callable[[Sequence[float]], float] = statistics.median
    lower_is_better: bool = True
    detail: bool = False
    least: int = 1


def _percentile(q: float) -> Callable[[Sequence[float]], float]:
    return partial(percentile, q=q)


_LATENCY = r"latency_(?P<rows>\d+)x(?P<length>\d+)_ms"

MEASURES: tuple[Measure, ...] = (
    Measure("latency_p50", "latency p50, {rows} x {tokens:.0f} tokens", _LATENCY, "ms", _percentile(50)),
    Measure("latency_p90", "latency p90, {rows} x {tokens:.0f} tokens", _LATENCY, "ms", _percentile(90), least=20),
    Measure("latency_p99", "latency p99, {rows} x {tokens:.0f} tokens", _LATENCY, "ms", _percentile(99), least=100),
    Measure("offline", "offline, {uniform:.0f} tokens", "offline_per_s", "{unit}/s", lower_is_better=False),
    Measure("mixed", "mixed lengths, {stream:.0f} tokens on average", "mixed_per_s", "{unit}/s", lower_is_better=False),
    Measure(
        "server_rate", "server, highest rate within the bound", "server_rate_per_s", "{unit}/s", lower_is_better=False
    ),
    Measure("server_p50", "server, latency p50", "server_latency_ms", "ms", _percentile(50)),
    Measure("server_p99", "server, latency p99", "server_latency_ms", "ms", _percentile(99), least=100),
    Measure(
        "first_token", "time to first token, prompt {prompt}", r"first_token_(?P<prompt>\d+)_ms", "ms", _percentile(50)
    ),
    Measure("prefill", "prefill, prompt {prompt}", r"prefill_(?P<prompt>\d+)_per_s", "tokens/s", lower_is_better=False),
    Measure(
        "between_tokens",
        "time between tokens p50, prompt {prompt}, {new} new",
        r"between_tokens_(?P<prompt>\d+)_(?P<new>\d+)_ms",
        "ms",
        _percentile(50),
    ),
    Measure(
        "between_tokens_p99",
        "time between tokens p99, prompt {prompt}, {new} new",
        r"between_tokens_(?P<prompt>\d+)_(?P<new>\d+)_ms",
        "ms",
        _percentile(99),
        least=100,
    ),
    Measure(
        "decode",
        "decode, prompt {prompt}, {new} new",
        r"decode_(?P<prompt>\d+)_(?P<new>\d+)_per_s",
        "tokens/s",
        lower_is_better=False,
    ),
    Measure(
        "translate",
        "written, batch {batch}, {beams} beams",
        r"translate_(?P<batch>\d+)_(?P<beams>\d+)_per_s",
        "tokens/s",
        lower_is_better=False,
    ),
    Measure("real_time", "real-time factor, {seconds} s of audio", r"real_time_(?P<seconds>\d+)_factor", "x"),
    Measure("cold_start", "cold start to first answer", "cold_start_s", "s"),
    Measure("cold_python", "  starting Python", "cold_python_s", "s", detail=True),
    Measure("cold_import", "  import", "cold_import_s", "s", detail=True),
    Measure("cold_load", "  load", "cold_load_s", "s", detail=True),
    Measure("cold_first_call", "  first call", "cold_first_call_s", "s", detail=True),
    Measure("memory_first", "memory at first answer", "memory_first_bytes", "B"),
    Measure("memory_model", "  model in memory", "memory_model_bytes", "B", detail=True),
    Measure("memory_peak", "peak memory", "memory_peak_bytes", "B"),
    Measure("power", "power, {scenario}", r"power_(?P<scenario>[a-z-]+)_w", "W", detail=True),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One measure: each backend's figure, and the gain over the base of each other backend.

    `name` is the measure's, with the pattern's groups: "latency_p50 1x16". `spreads`: how much a backend's blocks
    differ, as the quartiles' distance over the median; None with fewer than four blocks.
    """

    name: str
    title: str
    unit: str
    lower_is_better: bool
    values: Mapping[str, float]
    spreads: Mapping[str, float | None]
    gains: Mapping[str, Gain]
    verdicts: Mapping[str, str]


def summarize(comparison: Comparison, measures: Sequence[Measure] = MEASURES) -> list[Row]:
    """The rows that there are samples for, in the order of the table, and within a measure of the samples' names."""
    names: dict[str, None] = dict.fromkeys(name for run in comparison.runs for name in run.samples)
    rows = []
    for measure in measures:
        for name in names:
            match = re.fullmatch(measure.samples, name)
            row = match and _row(comparison, measure, name, match.groupdict())
            if row:
                rows.append(row)
    return sorted(rows, key=_by_shape(rows))


def _by_shape(rows: Sequence[Row]) -> Callable[[Row], int]:
    """Latencies of one shape side by side; everything else as it is."""
    first: dict[str, int] = {}
    for place, row in enumerate(rows):
        first.setdefault(row.name.split(" ", 1)[-1] if row.name.startswith("latency") else row.name, place)
    return lambda row: first[row.name.split(" ", 1)[-1] if row.name.startswith("latency") else row.name]


def _row(comparison: Comparison, measure: Measure, name: str, groups: Mapping[str, str]) -> Row | None:
    blocks = {info.name: values_of(comparison, info.name, name, measure) for info in comparison.backends}
    blocks = {backend: some for backend, some in blocks.items() if some}
    if not blocks:
        return None
    gains = {} if measure.detail else _gains(blocks, comparison.base, measure, comparison.settings.seed)
    shape = f"{groups.get('rows')}x{groups.get('length')}"
    known = {**comparison.tokens, **groups, "tokens": comparison.tokens.get(shape, 0.0), "unit": comparison.unit}
    return Row(
        name=_row_name(measure, groups),
        title=measure.title.format(**known),
        unit=measure.unit.format(**known),
        lower_is_better=measure.lower_is_better,
        values={backend: statistics.median(some.values()) for backend, some in blocks.items()},
        spreads={backend: _spread(list(some.values())) for backend, some in blocks.items()},
        gains=gains,
        verdicts={backend: gain.verdict for backend, gain in gains.items()},
    )


def values_of(comparison: Comparison, backend: str, samples: str, measure: Measure) -> dict[int, float]:
    """One value for each block of a backend that has enough samples."""
    return {
        run.block: measure.statistic(run.samples[samples])
        for run in comparison.runs
        if run.backend == backend and len(run.samples.get(samples, ())) >= measure.least
    }


def _spread(values: Sequence[float]) -> float | None:
    if len(values) < 4:
        return None
    low, middle, high = (percentile(values, q) for q in (25, 50, 75))
    return (high - low) / middle if middle else None


def gain_between(
    comparison: Comparison, name: str, base: str, other: str, measures: Sequence[Measure] = MEASURES
) -> Gain | None:
    """How many times better `other` is than `base` in the row called `name`; None without common blocks."""
    for measure, sample in _sources(comparison, name, measures):
        blocks = {backend: values_of(comparison, backend, sample, measure) for backend in (base, other)}
        return _gains(blocks, base, measure, comparison.settings.seed).get(other)
    return None


def block_values(
    comparison: Comparison, name: str, backend: str, measures: Sequence[Measure] = MEASURES
) -> dict[int, float]:
    """A backend's value in the row called `name`, for each block that has one; empty where nothing was measured."""
    for measure, sample in _sources(comparison, name, measures):
        return values_of(comparison, backend, sample, measure)
    return {}


def _sources(comparison: Comparison, name: str, measures: Sequence[Measure]) -> Iterator[tuple[Measure, str]]:
    """The measure and the samples that the row called `name` is made of."""
    samples = dict.fromkeys(sample for run in comparison.runs for sample in run.samples)
    for measure in measures:
        for sample in samples:
            match = re.fullmatch(measure.samples, sample)
            if match and _row_name(measure, match.groupdict()) == name:
                yield measure, sample


def _row_name(measure: Measure, groups: Mapping[str, str]) -> str:
    suffix = f"{groups['rows']}x{groups['length']}" if "rows" in groups else " ".join(groups.values())
    return f"{measure.name} {suffix}".strip()


def _gains(blocks: Mapping[str, Mapping[int, float]], base: str, measure: Measure, seed: int) -> dict[str, Gain]:
    """Only blocks that both sides finished are compared."""
    gains = {}
    for backend, values in blocks.items():
        both = sorted(values.keys() & blocks.get(base, {}).keys())
        if backend != base and both:
            first, second = [blocks[base][i] for i in both], [values[i] for i in both]
            gains[backend] = paired_gain(first, second, lower_is_better=measure.lower_is_better, seed=seed)
    return gains
