"""When memory of large runs is given back."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxpress.engine.held_memory import BESIDE_S, FAR, SMALL_RUN, HeldMemory

LARGE = 16 * SMALL_RUN


class _Runs:
    """Runs of one session, after each other, by two threads."""

    def __init__(self) -> None:
        self.now = 0.0
        self.other = ThreadPoolExecutor(1)
        self._held = HeldMemory(lambda: self.now)

    def __call__(self, elements: int, after_s: float = 1.0) -> bool:
        self.now += after_s
        return self._held.gives_back(elements)

    def elsewhere(self, elements: int, after_s: float = 1.0) -> bool:
        """By the other thread."""
        return self.other.submit(self, elements, after_s).result()


@pytest.fixture
def runs() -> Iterator[_Runs]:
    runs = _Runs()
    yield runs
    runs.other.shutdown()


def test_a_large_run_alone_gives_its_memory_back(runs: _Runs) -> None:
    assert not runs(10)
    assert runs(LARGE)


def test_runs_of_one_size_keep_theirs_until_a_small_one(runs: _Runs) -> None:
    assert runs(LARGE)
    assert not any(runs(LARGE) for _ in range(5))
    assert runs(10) and not runs(10)


def test_large_runs_beside_another_thread_s_small_ones_keep_theirs(runs: _Runs) -> None:
    assert not runs.elsewhere(10)
    assert not any(runs(LARGE) if number % 5 == 0 else runs.elsewhere(10) for number in range(500))


def test_it_is_given_back_once_when_there_were_no_large_runs_for_a_while(runs: _Runs) -> None:
    runs.elsewhere(10)
    assert not runs(LARGE)
    given_back = [runs.elsewhere(10) for _ in range(200)]
    assert sum(given_back) == 1 and given_back.index(True) + 1 >= BESIDE_S


def test_small_runs_that_are_long_over_do_not_count(runs: _Runs) -> None:
    runs.elsewhere(10)
    assert runs(LARGE, BESIDE_S + 1)


@given(st.lists(st.integers(1, SMALL_RUN * FAR), max_size=50))
def test_small_runs_never_give_anything_back(sizes: list[int]) -> None:
    held = HeldMemory(lambda: 0.0)
    assert not any(held.gives_back(size) for size in sizes)


@given(st.lists(st.tuples(st.integers(1, 40 * SMALL_RUN), st.floats(0, 100)), max_size=60))
def test_nothing_is_held_for_long_after_the_last_large_run(before: list[tuple[int, float]]) -> None:
    runs = _Runs()
    for size, after_s in before:
        runs(size, after_s)
    runs(10, BESIDE_S + 1)
    assert not runs(10)
    assert runs(LARGE)
