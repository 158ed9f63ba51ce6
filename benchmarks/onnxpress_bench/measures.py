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
    the mean tokens of an item, and the unit of items. `least`: samples that every block of a backend needs for it, or
    the backend has no figure: percentiles of fewer blocks than the median's could cross it. `detail` rows get no
    gain."""

    name: str
    title: str
    samples: str
    unit: str
    statistic: Callable[[Sequence[float]], float] = statistics.median
    lower_is_better: bool = True
    detail: bool = False
    least: int = 1


_P50, _P90, _P99 = (partial(percentile, q=q) for q in (50, 90, 99))
_LATENCY = r"latency_(?P<rows>\d+)x(?P<length>\d+)_ms"
_GAPS = r"between_tokens_(?P<prompt>\d+)_(?P<new>\d+)_ms"

MEASURES: tuple[Measure, ...] = (
    Measure("latency_p50", "latency p50, {rows} x {tokens:.0f} tokens", _LATENCY, "ms", _P50),
    Measure("latency_p90", "latency p90, {rows} x {tokens:.0f} tokens", _LATENCY, "ms", _P90, least=20),
    Measure("latency_p99", "latency p99, {rows} x {tokens:.0f} tokens", _LATENCY, "ms", _P99, least=100),
    Measure("offline", "offline, {uniform:.0f} tokens", "offline_per_s", "{unit}/s", lower_is_better=False),
    Measure("mixed", "mixed lengths, {stream:.0f} tokens on average", "mixed_per_s", "{unit}/s", lower_is_better=False),
    Measure(
        "server_rate", "server, highest rate within the bound", "server_rate_per_s", "{unit}/s", lower_is_better=False
    ),
    Measure("server_p50", "server, latency p50", "server_latency_ms", "ms", _P50),
    Measure("server_p99", "server, latency p99", "server_latency_ms", "ms", _P99, least=100),
    Measure("first_token", "time to first token, prompt {prompt}", r"first_token_(?P<prompt>\d+)_ms", "ms", _P50),
    Measure("prefill", "prefill, prompt {prompt}", r"prefill_(?P<prompt>\d+)_per_s", "tokens/s", lower_is_better=False),
    Measure(
        "between_tokens",
        "time between tokens p50, prompt {prompt}, {new} new",
        _GAPS,
        "ms",
        _P50,
    ),
    Measure(
        "between_tokens_p99",
        "time between tokens p99, prompt {prompt}, {new} new",
        _GAPS,
        "ms",
        _P99,
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
class Series:
    """A measure of one name of samples. `blocks`: backend -> block -> the block's value. `name` is the measure's, with
    the pattern's groups: "latency_p50 1x16"."""

    measure: Measure
    name: str
    title: str
    unit: str
    blocks: Mapping[str, Mapping[int, float]]

    def gain(self, base: str, other: str, seed: int) -> Gain | None:
        """How many times better `other` is than `base`, over the blocks that both finished; None if there are none."""
        first, second = self.blocks.get(base, {}), self.blocks.get(other, {})
        both = sorted(first.keys() & second.keys())
        if not both:
            return None
        sides = [[side[block] for block in both] for side in (first, second)]
        return paired_gain(*sides, lower_is_better=self.measure.lower_is_better, seed=seed)


@dataclass(frozen=True, slots=True)
class Row:
    """One measure: each backend's figure, and the gain over the base of each other backend.

    `spreads`: how much a backend's blocks differ, as the quartiles' distance over the median; None with fewer than four
    blocks.
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
    return [_row(comparison, series) for series in all_series(comparison, measures)]


def all_series(comparison: Comparison, measures: Sequence[Measure] = MEASURES, name: str | None = None) -> list[Series]:
    """Every measure of every name of samples that it fits, or the one called `name`; latencies of a shape together."""
    series = list(_series(comparison, measures, name))
    place: dict[str, int] = {}
    for index, each in enumerate(series):
        place.setdefault(_group(each.name), index)
    return sorted(series, key=lambda each: place[_group(each.name)])


def _group(name: str) -> str:
    return name.partition(" ")[2] if name.startswith("latency") else name


def _series(comparison: Comparison, measures: Sequence[Measure], wanted: str | None) -> Iterator[Series]:
    samples = dict.fromkeys(sample for run in comparison.runs for sample in run.samples)
    for measure in measures:
        for sample in samples:
            match = re.fullmatch(measure.samples, sample)
            groups = match.groupdict() if match else {}
            shape = f"{groups['rows']}x{groups['length']}" if "rows" in groups else " ".join(groups.values())
            name = f"{measure.name} {shape}".strip()
            if match is None or wanted not in (None, name):
                continue
            blocks = {info.name: _values(comparison, info.name, sample, measure) for info in comparison.backends}
            blocks = {backend: values for backend, values in blocks.items() if values}
            if blocks:
                tokens = comparison.tokens.get(shape, 0.0)
                known = {**comparison.tokens, **groups, "tokens": tokens, "unit": comparison.unit}
                yield Series(measure, name, measure.title.format(**known), measure.unit.format(**known), blocks)


def _values(comparison: Comparison, backend: str, sample: str, measure: Measure) -> dict[int, float]:
    """A value for each block; none where a block has too few samples."""
    taken = {
        run.block: run.samples[sample] for run in comparison.runs if run.backend == backend and sample in run.samples
    }
    if any(len(some) < measure.least for some in taken.values()):
        return {}
    return {block: measure.statistic(some) for block, some in taken.items()}


def _row(comparison: Comparison, series: Series) -> Row:
    base, seed = comparison.base, comparison.settings.seed
    gains = {}
    if not series.measure.detail:
        others = (backend for backend in series.blocks if backend != base)
        gains = {backend: gain for backend in others if (gain := series.gain(base, backend, seed)) is not None}
    return Row(
        name=series.name,
        title=series.title,
        unit=series.unit,
        lower_is_better=series.measure.lower_is_better,
        values={backend: statistics.median(values.values()) for backend, values in series.blocks.items()},
        spreads={backend: _spread(list(values.values())) for backend, values in series.blocks.items()},
        gains=gains,
        verdicts={backend: gain.verdict for backend, gain in gains.items()},
    )


def _spread(values: Sequence[float]) -> float | None:
    if len(values) < 4:
        return None
    low, middle, high = (percentile(values, q) for q in (25, 50, 75))
    return (high - low) / middle if middle else None


def gain_between(comparison: Comparison, name: str, base: str, other: str) -> Gain | None:
    """How many times better `other` is than `base` in the row called `name`; None without common blocks."""
    found = all_series(comparison, name=name)
    return found[0].gain(base, other, comparison.settings.seed) if found else None


def block_values(comparison: Comparison, name: str, backend: str) -> Mapping[int, float]:
    """A backend's value in the row called `name`, for each block that has one; empty where nothing was measured."""
    found = all_series(comparison, name=name)
    return found[0].blocks.get(backend, {}) if found else {}
