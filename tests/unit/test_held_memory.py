"""When memory of large runs is given back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from onnxpress.engine.held_memory import FAR, SMALL_RUN, HeldMemory

LARGE = 16 * SMALL_RUN


def test_a_large_run_gives_its_memory_back() -> None:
    held = HeldMemory()
    assert not held.gives_back(10)
    assert held.gives_back(LARGE)


def test_runs_of_one_size_keep_theirs_until_a_small_one() -> None:
    held = HeldMemory()
    assert held.gives_back(LARGE)
    assert not any(held.gives_back(LARGE) for _ in range(5))
    assert held.gives_back(10) and not held.gives_back(10)


def test_the_largest_of_runs_that_are_alike_counts() -> None:
    held = HeldMemory()
    assert not held.gives_back(FAR * SMALL_RUN)
    assert not held.gives_back(SMALL_RUN)
    assert not held.gives_back(FAR * FAR * SMALL_RUN)
    assert held.gives_back(SMALL_RUN)


@given(st.lists(st.integers(1, SMALL_RUN * FAR), max_size=50))
def test_small_runs_never_give_anything_back(sizes: list[int]) -> None:
    held = HeldMemory()
    assert not any(held.gives_back(size) for size in sizes)


@given(st.lists(st.integers(1, 40 * SMALL_RUN), max_size=60))
def test_nothing_is_held_after_a_small_run(before: list[int]) -> None:
    held = HeldMemory()
    for size in before:
        held.gives_back(size)
    held.gives_back(10)
    assert not held.gives_back(10)
    assert held.gives_back(LARGE)
