"""The server scenario on a clock of its own: what an open loop shows, and whether the search finds the rate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxpress_bench.backends import BackendSpec, Batching
from onnxpress_bench.scenarios.server import OWN_ROWS, PRECISION, Clock, highest_rate, serve, unit_gaps
from onnxpress_bench.statistics import percentile


class Simulated:
    """A backend whose calls move the clock: `service_s` for each item, and a stall of `stall_s` every `every_s`."""

    batchings: Sequence[Batching] = (Batching(1),)
    distributions: Sequence[str] = ()

    def __init__(self, service_s: float, stall_s: float = 0.0, every_s: float = math.inf) -> None:
        self.time_s, self.calls, self.largest = 0.0, 0, 0
        self._service_s, self._stall_s, self._every_s, self._next = service_s, stall_s, every_s, every_s

    def one(self, item: Any) -> Any:
        self._answer(1)
        return item

    def many(self, items: Sequence[Any], batching: Batching) -> Sequence[Any]:
        self._answer(len(items))
        return items

    def _answer(self, rows: int) -> None:
        self.calls, self.largest = self.calls + 1, max(self.largest, rows)
        if self.time_s >= self._next:
            self._next = self.time_s + self._every_s
            self.time_s += self._stall_s
        self.time_s += self._service_s * rows

    def clock(self) -> Clock:
        return Clock(lambda: self.time_s, self._sleep)

    def _sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.time_s += seconds

    # What the protocol asks for and this scenario does not use.

    @staticmethod
    def prepare(spec: BackendSpec) -> BackendSpec:
        return spec

    def load_libraries(self) -> None: ...

    def load(self) -> None: ...

    def model_files(self) -> Sequence[Path]:
        return []


def test_a_stall_of_200_ms_once_a_second_shows_in_p99() -> None:
    """In a closed loop the same backend's p99 hides it: one call in a hundred is slow, the others never notice."""
    gaps = unit_gaps(2000, seed=1)
    items = list(range(len(gaps)))
    steady, stalling = Simulated(0.005), Simulated(0.005, stall_s=0.2, every_s=1.0)
    calm, _ = serve(steady, items, gaps, 50.0, Batching(1), clock=steady.clock())
    shaken, _ = serve(stalling, items, gaps, 50.0, Batching(1), clock=stalling.clock())
    assert percentile(calm, 99) < 40
    assert percentile(shaken, 99) > 190
    # A fifth of all queries arrive while it stands still; a closed loop would have recorded one slow call a second.
    assert sum(one > 50 for one in shaken) / len(shaken) > 0.1

    closed = Simulated(0.005, stall_s=0.2, every_s=1.0)
    times = []
    for _ in items:
        before = closed.time_s
        closed.one(None)
        times.append(1000 * (closed.time_s - before))
    assert percentile(times, 99) < 10


@settings(deadline=None)
@given(st.floats(0.001, 0.05), st.floats(0.1, 0.8), st.integers(0, 50))
def test_latency_counts_from_the_intended_arrival(service_s: float, load: float, seed: int) -> None:
    """Against the recursion of a queue with one server: an answer ends a service after the later of arrival and the
    answer before."""
    gaps = unit_gaps(100, seed)
    rate = load / service_s
    backend = Simulated(service_s)
    times, within = serve(backend, list(gaps), gaps, rate, Batching(1), clock=backend.clock())
    arrival = end = 0.0
    for gap, found in zip(gaps, times, strict=True):
        arrival += gap / rate
        end = max(arrival, end) + service_s
        assert found == pytest.approx(1000 * (end - arrival), rel=1e-6, abs=1e-6)
    assert within and backend.calls == 100


def test_what_waits_is_taken_together_up_to_the_rows() -> None:
    gaps = unit_gaps(200, seed=0)
    for batching, most in ((Batching(4), 4), (Batching(), OWN_ROWS)):
        backend = Simulated(0.02)
        times, _ = serve(backend, list(gaps), gaps, 100.0, batching, clock=backend.clock())
        assert len(times) == 200 and backend.largest == most


def test_a_lost_trial_ends_early() -> None:
    gaps = unit_gaps(1000, seed=0)
    backend = Simulated(0.02)
    times, within = serve(backend, list(gaps), gaps, 200.0, Batching(1), bound_ms=100, clock=backend.clock())
    assert not within and len(times) < 200


@settings(deadline=None, max_examples=12)
@given(st.floats(0.002, 0.05), st.floats(3.0, 20.0))
def test_the_search_finds_the_highest_rate(service_s: float, slack: float) -> None:
    gaps, bound_ms = unit_gaps(300, seed=2), 1000 * service_s * slack
    items = list(gaps)

    def within(rate: float) -> bool:
        probe = Simulated(service_s)
        times, kept = serve(probe, items, gaps, rate, Batching(1), bound_ms=bound_ms, clock=probe.clock())
        return kept and percentile(times, 99) <= bound_ms

    backend = Simulated(service_s)
    rate, times = highest_rate(backend, items, gaps, Batching(1), bound_ms, clock=backend.clock())
    assert rate > 0 and percentile(times, 99) <= bound_ms
    assert within(rate * 0.999) and not within(rate * PRECISION * 1.001)


def test_a_bound_that_a_single_query_misses_is_never_sustained() -> None:
    gaps = unit_gaps(100, seed=0)
    backend = Simulated(0.1)
    assert highest_rate(backend, list(gaps), gaps, Batching(1), 50.0, clock=backend.clock()) == (0.0, [])
    assert backend.time_s < 60, "the search must give up"


def test_arrivals_are_poisson_and_repeatable() -> None:
    gaps = unit_gaps(20_000, seed=3)
    assert gaps == unit_gaps(20_000, seed=3) != unit_gaps(20_000, seed=4)
    assert sum(gaps) / len(gaps) == pytest.approx(1, abs=0.03)
    assert sum(gap > 1 for gap in gaps) / len(gaps) == pytest.approx(math.exp(-1), abs=0.02)
