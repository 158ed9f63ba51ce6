"""Watches the values at a graph's sites on real inputs: ranges per channel, correlations, and a sample of rows.

Runs the fp32 graph with the sites' values as extra outputs. Padding never takes part: inputs come one row at a time.
Knows nothing of how the figures are used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx_ir
from numpy.typing import NDArray

from onnxpress_exporter.passes.graph import remove_dead
from onnxpress_exporter.quantize.rounding import diagonal
from onnxpress_exporter.quantize.sites import Site
from onnxpress_exporter.quantize.unsaved import opened

Arrays = Mapping[str, NDArray[Any]]

#: float32 (heads, size): a number of each channel of each head.
Channels = NDArray[np.float32]

#: Rows of each site that are kept to search ranges on.
SAMPLE_ROWS = 768
#: Rows whose correlations are added up by one product: a sum of (width, width) is as large as many rows.
_ROWS_AT_ONCE = 768
#: Correlations of more than this at once are computed in several passes over the inputs.
MEMORY_BYTES = 1_500_000_000


@dataclass(frozen=True, slots=True)
class Statistics:
    """Of one site: `low` and `high` float32 (width) per channel; `hessian` float32 (width, width), the mean of x x^T,
    or (width), its diagonal alone; `rows` float32 (sample, width), evenly taken; `count`: rows seen; `mean` float32
    (width), of all of them."""

    low: NDArray[np.float32]
    high: NDArray[np.float32]
    hessian: NDArray[np.float32]
    rows: NDArray[np.float32]
    count: int
    mean: NDArray[np.float32]

    @property
    def largest(self) -> NDArray[np.float32]:
        """The largest size of each channel."""
        sizes: NDArray[np.float32] = np.maximum(np.abs(self.low), np.abs(self.high))
        return sizes

    @property
    def energy(self) -> NDArray[np.float32]:
        """The mean square of each channel."""
        return diagonal(self.hessian)

    def apart(self) -> Statistics:
        """Drop the correlations between channels, so that each weight is rounded to its nearest."""
        return replace(self, hessian=self.energy.copy())

    def of(self, channels: NDArray[np.int64]) -> Statistics:
        """The statistics of these channels alone."""
        pairs: Any = np.ix_(channels, channels) if self.hessian.ndim == 2 else channels
        rows = np.ascontiguousarray(self.rows[:, channels])
        return Statistics(
            self.low[channels], self.high[channels], self.hessian[pairs], rows, self.count, self.mean[channels]
        )

    def less(self, shift: NDArray[np.float32]) -> Statistics:
        """The statistics of the same rows with a constant taken from each channel."""
        if self.hessian.ndim == 1:
            hessian = self.hessian - shift * (2 * self.mean - shift)
        else:
            crossed = np.outer(shift, self.mean)
            hessian = self.hessian - crossed - crossed.T + np.outer(shift, shift)
        low, high, rows, mean = (array - shift for array in (self.low, self.high, self.rows, self.mean))
        return Statistics(low, high, hessian.astype(np.float32), rows, self.count, mean)

    def divided(self, factors: NDArray[np.float32]) -> Statistics:
        """The statistics of the same rows with each channel divided by its factor."""
        pairs: NDArray[Any] = np.outer(factors, factors) if self.hessian.ndim == 2 else np.square(factors)
        return Statistics(
            self.low / factors,
            self.high / factors,
            self.hessian / pairs,
            self.rows / factors,
            self.count,
            self.mean / factors,
        )


def merged(several: Sequence[Statistics]) -> Statistics:
    """Join the statistics of sites that share their weights: those of all their rows together."""
    count = sum(statistics.count for statistics in several)
    rows = np.concatenate([statistics.rows for statistics in several])
    return Statistics(
        low=np.minimum.reduce([statistics.low for statistics in several]),
        high=np.maximum.reduce([statistics.high for statistics in several]),
        hessian=np.sum(
            [statistics.hessian * np.float32(statistics.count / max(1, count)) for statistics in several], axis=0
        ),
        rows=rows[np.unique(np.linspace(0, len(rows) - 1, 2 * SAMPLE_ROWS).round().astype(int))],
        count=count,
        mean=np.sum([statistics.mean * np.float32(statistics.count / max(1, count)) for statistics in several], axis=0),
    )


def calibrate(
    model: onnx_ir.Model,
    sites: Sequence[Site],
    inputs: Sequence[Arrays],
    progress: Callable[[float], None] | None = None,
    *,
    correlated: bool = True,
) -> dict[str, Statistics]:
    """Statistics of every site, by its value's name.

    Args:
        correlated: whether correlations of channels are wanted: they are as large as a model's weights.
        inputs: what the graph takes, one row without padding at a time.
        progress: called with the share of the work that is done.
    """
    statistics: dict[str, Statistics] = {}
    parts = list(groups(sites)) if correlated else [list(sites)]
    for number, group in enumerate(parts):
        axes = {site.value: 1 if site.convolution else -1 for site in group}
        collectors = {site.value: _Collector(site.width, len(inputs), correlated) for site in group}
        # The fp32 variant is open beside it, with a packed copy of these weights.
        with opened("model", _tapped(model, list(collectors)), packed=False) as session:
            for index, arrays in enumerate(inputs):
                outputs = session.run(arrays)
                for name, collector in collectors.items():
                    collector.add(np.moveaxis(outputs[name], axes[name], -1))
                if progress is not None:
                    progress((number + (index + 1) / len(inputs)) / len(parts))
        statistics |= {name: collector.statistics() for name, collector in collectors.items()}
    return statistics


def watch_cache(
    model: onnx_ir.Model, names: Sequence[str], inputs: Sequence[Arrays], say: Callable[[str], None]
) -> dict[str, Channels]:
    """How large each channel of keys and values gets, by the name of the output that returns them.

    Args:
        inputs: what the graph takes, a whole text at a time, with caches that have room for it and no more.
    """
    largest: dict[str, Channels] = {}
    if not inputs:
        return largest
    with opened("model", model, packed=False) as session:
        for number, arrays in enumerate(inputs):
            say(f"watching keys and values, {number / len(inputs):.0%}")
            outputs = session.run(arrays)
            for name in names:
                sizes = np.abs(outputs[name]).max(axis=(0, 2))
                largest[name] = np.maximum(largest[name], sizes) if name in largest else sizes
    return largest


def groups(sites: Sequence[Site]) -> Iterable[list[Site]]:
    """Sites whose correlations fit into memory together."""
    group: list[Site] = []
    size = 0
    for site in sites:
        needed = 4 * site.width * site.width
        if group and size + needed > MEMORY_BYTES:
            yield group
            group, size = [], 0
        group.append(site)
        size += needed
    if group:
        yield group


def _tapped(model: onnx_ir.Model, names: Sequence[str]) -> onnx_ir.Model:
    """Copy as much of the model as makes these values, which are its outputs: sites of the first layers need no others,
    and none but the last needs the scores."""
    copy = model.clone()
    values = {value.name: value for node in copy.graph for value in node.outputs}
    values |= {value.name: value for value in copy.graph.inputs}
    copy.graph.outputs.clear()
    copy.graph.outputs.extend(values[name] for name in names)
    remove_dead(copy)
    return copy


class _Collector:
    def __init__(self, width: int, inputs: int, correlated: bool) -> None:
        self._low = np.full(width, np.inf, np.float32)
        self._high = np.full(width, -np.inf, np.float32)
        self._sum = np.zeros((width, width) if correlated else width, np.float32)
        self._waiting: list[NDArray[np.float32]] = []
        self._rows: list[NDArray[np.float32]] = []
        self._count = 0
        self._total = np.zeros(width, np.float64)
        self._each = max(1, SAMPLE_ROWS // max(1, inputs))

    def add(self, value: NDArray[Any]) -> None:
        rows = np.asarray(value, np.float32).reshape(-1, value.shape[-1])
        if not len(rows):
            return
        self._low, self._high = np.minimum(self._low, rows.min(axis=0)), np.maximum(self._high, rows.max(axis=0))
        self._count += len(rows)
        self._total += rows.sum(axis=0, dtype=np.float64)
        if self._sum.ndim == 1:
            self._sum += np.square(rows).sum(axis=0)
        else:
            self._waiting.append(rows.copy())
            if sum(map(len, self._waiting)) >= _ROWS_AT_ONCE:
                self._correlate()
        # Evenly spread, ends included: the first and the last tokens are special ones, with ranges of their own.
        places = np.unique(np.linspace(0, len(rows) - 1, self._each).round().astype(int))
        self._rows.append(rows[places].copy())

    def _correlate(self) -> None:
        if self._waiting:
            rows = np.concatenate(self._waiting)
            self._waiting = []
            self._sum += rows.T @ rows

    def statistics(self) -> Statistics:
        """What was seen; asked once."""
        self._correlate()
        count = max(1, self._count)
        low, high = (np.where(np.isfinite(end), end, 0).astype(np.float32) for end in (self._low, self._high))
        self._sum /= np.float32(count)  # in place: all sums together are as large as a model
        mean = (self._total / count).astype(np.float32)
        return Statistics(low, high, self._sum, np.concatenate(self._rows), self._count, mean)
