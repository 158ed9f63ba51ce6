"""Calls side by side: what they return, what they raise, and that none waits for ever."""

from __future__ import annotations

import threading
from contextvars import ContextVar
from functools import partial

import pytest

from onnxpress.engine.helpers import side_by_side

WHOSE: ContextVar[str] = ContextVar("whose", default="nobody's")


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 2, 17])
def test_results_are_in_the_order_of_the_calls(threads: int, count: int) -> None:
    assert side_by_side([partial(pow, number, 2) for number in range(count)], threads) == [n * n for n in range(count)]


def test_calls_meet_in_several_threads() -> None:
    """Each waits until the other has begun, which one thread alone could never see."""
    meeting = threading.Barrier(2)
    assert sorted(side_by_side([partial(meeting.wait, 30)] * 2, 2)) == [0, 1]


def test_no_more_are_at_work_than_there_are_threads() -> None:
    lock, most, busy = threading.Lock(), 0, 0

    def work() -> None:
        nonlocal most, busy
        with lock:
            busy += 1
            most = max(most, busy)
        sum(range(20_000))
        with lock:
            busy -= 1

    side_by_side([work] * 40, 3)
    assert 1 <= most <= 3


def test_what_a_call_raises_is_raised_and_the_rest_is_left() -> None:
    begun = []

    def call(number: int) -> None:
        begun.append(number)
        if number == 3:
            raise KeyError(number)

    with pytest.raises(KeyError):
        side_by_side([partial(call, number) for number in range(4)], 2)
    assert side_by_side([lambda: 1, lambda: 2], 2) == [1, 2]


def test_calls_within_calls_end() -> None:
    def outer(number: int) -> int:
        return sum(side_by_side([partial(int, number)] * 5, 3))

    assert side_by_side([partial(outer, number) for number in range(20)], 3) == [5 * number for number in range(20)]


def test_context_variables_are_the_callers() -> None:
    WHOSE.set("mine")
    assert side_by_side([WHOSE.get] * 6, 3) == ["mine"] * 6
