"""Candidates timed on one GPU: in turn, in blocks, each call from numbers on the host to numbers on the host."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from onnxpress_bench.statistics import paired_gain

BLOCKS = 5
BLOCK_S = 0.4
WARM_UP_CALLS = 5


@dataclass(frozen=True, slots=True)
class Timed:
    """One candidate: the median of each block, and how many times faster than the base, with its 95% interval."""

    name: str
    block_milliseconds: tuple[float, ...]
    median_milliseconds: float
    gain: float
    gain_low: float | None
    gain_high: float | None


def time_in_turn(candidates: Mapping[str, Callable[[], object]], blocks: int = BLOCKS) -> list[Timed]:
    """Median times of each candidate, the first being the base. A call has to end when its result is on the host."""
    for call in candidates.values():
        for _ in range(WARM_UP_CALLS):
            call()
    medians: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(blocks):
        for name, call in candidates.items():
            medians[name].append(statistics.median(_block(call)) * 1e3)
    base = next(iter(medians))
    return [_timed(name, values, medians[base]) for name, values in medians.items()]


def _block(call: Callable[[], object]) -> list[float]:
    times: list[float] = []
    end = time.perf_counter() + BLOCK_S
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return times


def _timed(name: str, values: Sequence[float], base: Sequence[float]) -> Timed:
    gain = paired_gain(base, values, lower_is_better=True)
    return Timed(name, tuple(values), statistics.median(values), gain.ratio, gain.low, gain.high)
