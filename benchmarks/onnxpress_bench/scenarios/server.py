"""Server: queries arrive by a Poisson process and do not wait for each other (an open loop).

A query's latency counts from the moment it was *meant* to be sent. In a closed loop, or if latency counted from the
actual sending, a stall would delay the queries behind it without being seen in their figures: coordinated omission
(G. Tene, How NOT to Measure Latency, 2013). One thread takes what is waiting, answers it, and looks again, so that no
second thread disturbs the measurement, and arrivals are simply a list of times.

Which rate is sustained is found by search: the highest whose 99th percentile stays within a bound. The gaps between
arrivals are drawn once for rate 1 and divided by the rate, so that all rates and all backends meet the same arrivals.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from onnxpress_bench.backends import Backend, Batching
from onnxpress_bench.scenarios import Samples, Work
from onnxpress_bench.statistics import percentile

#: Rows that a backend with its own batching is handed at most: more, and the first ones wait for the last.
OWN_ROWS = 8

#: The search ends when the sustained rate is known to this factor.
PRECISION = 1.05
_STEP = 1.5
_MOST_PROBES = 12

#: Below this share of what it does one after the other, queries hardly meet: a bound missed there is missed at any
#: rate.
_LOWEST_LOAD = 1 / 8


@dataclass(frozen=True, slots=True)
class Clock:
    """Where time comes from; a test brings its own."""

    now: Callable[[], float] = time.perf_counter
    sleep: Callable[[float], None] = time.sleep


def server(backend: Backend, work: Work) -> Samples:
    """At a given rate: each query's milliseconds. Else: the highest rate within the bound, and the latencies at it.

    Parameters: `queries`, `seed`, and `rate_per_s` or `p99_ms`.
    """
    parameters = work.parameters["server"]
    gaps = unit_gaps(int(parameters["queries"]), int(parameters["seed"]))
    items = [work.stream[i % len(work.stream)] for i in range(len(gaps))]
    backend.many(items[:16], work.batching)
    if parameters.get("rate_per_s"):
        times, _ = serve(backend, items, gaps, float(parameters["rate_per_s"]), work.batching)
        return {"server_latency_ms": times}
    bound_ms = float(parameters["p99_ms"])
    rate, times = highest_rate(backend, items, gaps, work.batching, bound_ms)
    # A rate of 0 has no ratio: what cannot be sustained at all is left out, and the report says so.
    return {"server_rate_per_s": [rate], "server_latency_ms": times} if rate else {"server_unsustained": [1.0]}


def unit_gaps(count: int, seed: int) -> list[float]:
    """Seconds between arrivals at rate 1: exponential, mean 1."""
    import numpy as np

    gaps: list[float] = np.random.default_rng(seed).exponential(1.0, count).tolist()
    return gaps


def serve(
    backend: Backend,
    items: Sequence[Any],
    gaps: Sequence[float],
    rate_per_s: float,
    batching: Batching,
    *,
    bound_ms: float = math.inf,
    clock: Clock | None = None,
) -> tuple[list[float], bool]:
    """Milliseconds from each item's intended arrival to its answer, and whether 99% stayed within `bound_ms`.

    Ends early, with the latencies so far, once more than 1% are too late: the verdict cannot change any more.
    """
    clock = clock or Clock()
    rows = batching.rows or OWN_ROWS
    arrivals, total = [], 0.0
    for gap in gaps:
        total += gap / rate_per_s
        arrivals.append(total)
    start, done, late = clock.now(), 0, 0
    times: list[float] = []
    while done < len(items):
        wait = start + arrivals[done] - clock.now()
        if wait > 0:
            clock.sleep(wait)
        now, stop = clock.now() - start, done + 1
        while stop < len(items) and stop - done < rows and arrivals[stop] <= now:
            stop += 1
        if stop - done == 1:
            backend.one(items[done])
        else:
            backend.many(items[done:stop], batching)
        end = clock.now() - start
        times += [1000 * (end - arrival) for arrival in arrivals[done:stop]]
        late += sum(latency_ms > bound_ms for latency_ms in times[done:stop])
        done = stop
        if late > len(items) / 100:
            return times, False
    return times, True


def highest_rate(
    backend: Backend,
    items: Sequence[Any],
    gaps: Sequence[float],
    batching: Batching,
    bound_ms: float,
    *,
    clock: Clock | None = None,
) -> tuple[float, list[float]]:
    """The highest rate found whose 99th percentile is within `bound_ms`, and the latencies at it; 0 and none if even
    a rate at which queries hardly ever meet is too much."""
    clock = clock or Clock()
    begin = clock.now()
    few = items[: min(8, len(items))]
    for item in few:
        backend.one(item)
    rate = len(few) / max(clock.now() - begin, 1e-9)

    def probe(rate_per_s: float) -> tuple[list[float], bool]:
        times, within = serve(backend, items, gaps, rate_per_s, batching, bound_ms=bound_ms, clock=clock)
        return times, within and percentile(times, 99) <= bound_ms

    return rate_within(probe, rate)


def rate_within(probe: Callable[[float], tuple[list[float], bool]], rate: float) -> tuple[float, list[float]]:
    """The highest rate that passes, and the latencies at it; 0 and none if even a rate at which queries hardly ever
    meet is too much.

    Args:
        probe: a rate -> its latencies, and whether they are within the bound.
        rate: at which queries come one after the other.
    """
    slowest, best, best_times, failed = rate * _LOWEST_LOAD, 0.0, list[float](), math.inf
    for _ in range(_MOST_PROBES):
        times, within = probe(rate)
        if within:
            best, best_times = rate, times
        else:
            failed = rate
        if failed <= best * PRECISION or rate < slowest:
            break
        rate = _next(rate, best, failed)
    return best, best_times


def _next(rate: float, best: float, failed: float) -> float:
    """Outward in steps until one rate passed and one failed, then halfway between them."""
    if not math.isfinite(failed):
        return rate * _STEP
    return math.sqrt(best * failed) if best else rate / _STEP
