"""Samples to figures: the table of measures, and one row of the comparison for each.

A block gives one value per measure; a figure is the median of its blocks, and a gain pairs the blocks. Knows nothing
of how samples are taken or of how rows look.
"""

from __future__ import annotations

import re
import statistics
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from onnxpress.format.schema import decode
from onnxpress_bench.comparison import Comparison
from onnxpress_bench.statistics import Gain, paired_gain, percentile


@dataclass(frozen=True, slots=True)
class Measure:
    """A row of measures.toml.

    `samples`: a pattern of names of samples; each name that fits makes a row. `title` and `unit` may use the pattern's
    groups, the mean tokens of an item, and the unit of items. `percentile`: of a block's samples, which is its value.
    `least`: samples that every block of a backend needs for it, or the backend has no figure: percentiles of fewer
    blocks than the median's could cross it. `detail` rows get no gain, and neither do those that are a `difference` of
    two times, which may be below zero: its interval is that of the values."""

    name: str
    title: str
    samples: str
    unit: str
    percentile: float = 50.0
    lower_is_better: bool = True
    detail: bool = False
    difference: bool = False
    least: int = 1


_ROWS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))["measure"]
MEASURES: tuple[Measure, ...] = tuple(decode(Measure, row, "measures.toml") for row in _ROWS)


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
                known["measured"] = "pixels" if comparison.unit == "pictures" else "tokens"
                yield Series(measure, name, measure.title.format(**known), measure.unit.format(**known), blocks)


def _values(comparison: Comparison, backend: str, sample: str, measure: Measure) -> dict[int, float]:
    """A value for each block; none where a block has too few samples."""
    taken = {
        run.block: run.samples[sample] for run in comparison.runs if run.backend == backend and sample in run.samples
    }
    if any(len(some) < measure.least for some in taken.values()):
        return {}
    return {block: percentile(some, measure.percentile) for block, some in taken.items()}


def _row(comparison: Comparison, series: Series) -> Row:
    base, seed = comparison.base, comparison.settings.seed
    gains = {}
    if not (series.measure.detail or series.measure.difference):
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
    rows = all_series(comparison, name=name)
    return rows[0].gain(base, other, comparison.settings.seed) if rows else None


def block_values(comparison: Comparison, name: str, backend: str) -> Mapping[int, float]:
    """A backend's value in the row called `name`, for each block that has one; empty where nothing was measured."""
    rows = all_series(comparison, name=name)
    return rows[0].blocks.get(backend, {}) if rows else {}
