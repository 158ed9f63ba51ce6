"""A memory with an end: what was asked for last is known, what was not is forgotten, in threads too."""

from __future__ import annotations

import os
import pickle
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from onnxpress.pipelines.recent import Recent


def test_what_nobody_asked_for_the_longest_is_forgotten() -> None:
    memory: Recent[str, int] = Recent(2)
    memory.remember({"a": 1, "b": 2})
    assert memory.recall(["a", "x"]) == {"a": 1}
    memory.remember({"c": 3})
    assert memory.recall("abc") == {"a": 1, "c": 3}


@given(st.lists(st.lists(st.integers(0, 9), max_size=6), max_size=9), st.integers(1, 5))
def test_it_never_tells_a_wrong_value_and_never_grows(rounds: list[list[int]], capacity: int) -> None:
    memory: Recent[int, int] = Recent(capacity)
    for keys in rounds:
        known = memory.recall(keys)
        assert all(value == -key for key, value in known.items())
        memory.remember({key: -key for key in keys if key not in known})
        assert len(memory) <= capacity


def test_threads_share_it() -> None:
    memory: Recent[int, int] = Recent(7)

    def use(start: int) -> bool:
        for number in range(start, start + 200):
            memory.remember({number % 13: number % 13})
            if any(key != value for key, value in memory.recall(range(13)).items()):
                return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(use, range(4)))
    assert len(memory) <= 7


def test_a_copy_remembers_nothing_and_a_fork_does_not_wait() -> None:
    memory: Recent[str, int] = Recent(2)
    memory.remember({"a": 1})
    copy = pickle.loads(pickle.dumps(memory))
    assert len(copy) == 0
    copy.remember({"b": 2})
    assert copy.recall("ab") == {"b": 2}
    memory._lock.acquire()  # as another thread of the parent may
    memory._pid = os.getpid() + 1
    assert memory.recall("a") == {}
