"""Candidates timed on one device: in turn, in blocks, each call from numbers on the host to numbers on the host."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from onnxpress_bench.statistics import paired_gain

Call = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Effort:
    """How long is measured: calls that warm up, blocks, and seconds of a block."""

    warm_up_calls: int = 5
    blocks: int = 5
    block_s: float = 0.3

    def about_s(self, candidates: int) -> float:
        """Seconds that the blocks of so many candidates take."""
        return candidates * self.blocks * self.block_s


#: Of a rehearsal: every way once.
REHEARSED = Effort(warm_up_calls=1, blocks=1, block_s=0.0)


@dataclass(frozen=True, slots=True)
class Timed:
    """One candidate: the median of each block, and how many times faster than the base, with its 95% interval."""

    name: str
    block_ms: tuple[float, ...]
    median_ms: float
    gain: float
    gain_low: float | None
    gain_high: float | None


def time_in_turn(candidates: Mapping[str, Call], effort: Effort) -> tuple[list[Timed], list[str]]:
    """Median times of each candidate, the first being the base, and why others have none.

    A call has to end when its result is on the host. One that fails when it warms up, such as a model that cannot be
    compiled there, is not timed.
    """
    failures = []
    working: dict[str, Call] = {}
    for name, call in candidates.items():
        try:
            for _ in range(effort.warm_up_calls):
                call()
        except Exception as error:  # whatever a compiler raises belongs into the record
            failures.append(why(name, error))
        else:
            working[name] = call
    medians: dict[str, list[float]] = {name: [] for name in working}
    for _ in range(effort.blocks):
        for name, call in working.items():
            medians[name].append(statistics.median(_block(call, effort.block_s)) * 1e3)
    base = next(iter(medians.values()), [])
    return [_timed(name, values, base) for name, values in medians.items()], failures


def why(name: str, error: Exception) -> str:
    """A candidate that failed, and how, in one line."""
    lines = str(error).strip().splitlines() or [""]
    return f"{name}: {type(error).__name__}: {lines[0]}"


def _block(call: Call, seconds: float) -> list[float]:
    times: list[float] = []
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return times


def _timed(name: str, values: Sequence[float], base: Sequence[float]) -> Timed:
    gain = paired_gain(base, values, lower_is_better=True)
    return Timed(name, tuple(values), statistics.median(values), gain.ratio, gain.low, gain.high)
