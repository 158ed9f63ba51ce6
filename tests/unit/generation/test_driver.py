"""Requests of many threads over one scheduler: each hears its own events, and only those."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from onnxpress.errors import EngineError
from onnxpress.generation.driver import Driver, DriverThread
from onnxpress.generation.events import Event, Hooks
from onnxpress.generation.requests import Request
from onnxpress.generation.scheduler import Scheduler
from onnxpress.generation.settings import GenerationConfig

VOCABULARY = 50


class Counting:
    """A decoder after whose tokens comes the next number."""

    limit, admits, steps_uneven, log_normalizers = 200, True, True, None

    def __init__(self, rows: int, fails: Callable[[], bool] = lambda: False) -> None:
        self.lengths = [0] * rows
        self._fails = fails

    def admit(self) -> int:
        self.lengths.append(0)
        return len(self.lengths) - 1

    def recall(self, row: int, ids: object) -> None: ...

    def mark_prompt(self, row: int, tokens: int, owner: object = 0) -> None: ...

    def prefill(self, row: int, ids: Sequence[int], keep: int = 1) -> np.ndarray:
        self.lengths[row] += len(ids)
        return self._scores(ids[-1:])

    def step(self, ids: np.ndarray, normalizers: bool = False) -> np.ndarray:
        if self._fails():
            raise RuntimeError("no memory")
        for row in range(len(ids)):
            self.lengths[row] += 1
        return self._scores(ids)

    def truncate(self, row: int, length: int) -> None:
        self.lengths[row] = length

    def select(self, sources: Sequence[int]) -> None:
        self.lengths = [self.lengths[source] for source in sources]

    def close(self) -> None: ...

    def _scores(self, ids: Sequence[int]) -> np.ndarray:
        scores = np.zeros((len(ids), VOCABULARY), np.float32)
        scores[np.arange(len(ids)), (np.asarray(ids) + 1) % VOCABULARY] = 1
        return scores


def scheduler(fails: Callable[[], bool] = lambda: False) -> Scheduler:
    return Scheduler(lambda requests: Counting(len(requests), fails), 200)


def counting(first: int, count: int, **more: object) -> Request:
    return Request([first], GenerationConfig(max_new_tokens=count), **more)


def tokens(events: Sequence[Event]) -> list[int | None]:
    return [event.token for event in events]


def test_threads_and_event_loops_hear_their_own_texts() -> None:
    thread = DriverThread(scheduler())
    heard: dict[int, list[Event]] = {}
    readers = [
        threading.Thread(target=lambda n=n: heard.update({n: list(thread.events(counting(n, 5 + n)))}))
        for n in range(8)
    ]
    for reader in readers:
        reader.start()

    async def listened(first: int) -> list[Event]:
        return [event async for event in thread.listen(counting(first, 4))]

    async def both() -> list[list[Event]]:
        return await asyncio.gather(listened(10), listened(20))

    assert [tokens(events) for events in asyncio.run(both())] == [[11, 12, 13, 14], [21, 22, 23, 24]]
    for reader in readers:
        reader.join(10)
    for number in range(8):
        assert tokens(heard[number]) == [number + 1 + place for place in range(5 + number)]
    thread.close()
    with pytest.raises(EngineError, match="closed"):
        thread.put(counting(1, 1), print)


def test_who_leaves_gives_its_slot_back_in_the_next_turn() -> None:
    driver = Driver(scheduler())
    stays: list[Event] = []
    leaves: list[Event] = []
    driver.put(counting(1, 9), stays.append)
    ticket = driver.put(counting(1, 9), leaves.append)
    driver.turn()
    before = len(leaves)
    ticket.cancel()
    driver.turn()
    assert (leaves[-1].finish, len(leaves), driver.rows) == ("cancelled", before + 1, 1)
    late: list[Event] = []
    driver.put(counting(1, 9), late.append).cancel()
    driver.turn()
    assert [event.finish for event in late] == ["cancelled"], "who left before its turn never had a slot"
    while driver.busy:
        driver.turn()
    assert tokens(stays) == list(range(2, 11))


def test_what_goes_wrong_in_a_request_is_its_own() -> None:
    def broken(row: int) -> Callable[[int], bool]:
        raise ValueError("a hook's fault")

    def deaf(event: Event) -> None:
        raise RuntimeError("the reader's fault")

    driver = Driver(scheduler())
    good, bad, long = [], [], []
    driver.put(counting(1, 5), good.append)
    driver.put(counting(1, 5, hooks=Hooks(ended=broken)), bad.append)
    driver.put(Request([1] * 300, GenerationConfig()), long.append)
    driver.put(counting(1, 100), deaf)
    for _ in range(6):
        driver.turn()
    assert tokens(good) == [2, 3, 4, 5, 6]
    assert str(bad[0].error) == "a hook's fault"
    assert "shorten it" in str(long[0].error)
    assert not driver.busy


def test_a_model_that_fails_ends_what_runs_and_nothing_later() -> None:
    failing = iter([False, True])
    driver = Driver(scheduler(lambda: next(failing, False)))
    first: list[Event] = []
    driver.put(counting(1, 9), first.append)
    for _ in range(3):
        driver.turn()
    assert first[-1].finish == "failed"
    assert isinstance(first[-1].error, EngineError)
    second: list[Event] = []
    driver.put(counting(1, 3), second.append)
    while driver.busy:
        driver.turn()
    assert tokens(second) == [2, 3, 4]


def test_closing_ends_every_text() -> None:
    driver = Driver(scheduler())
    heard: list[Event] = []
    driver.put(counting(1, 9), heard.append)
    driver.turn()
    several = GenerationConfig(max_new_tokens=9, do_sample=True, num_return_sequences=2)
    never: list[Event] = []
    driver.put(Request([1], several), never.append)
    driver.close()
    assert heard[-1].finish == "cancelled"
    assert [(event.row, event.finish) for event in never] == [(0, "cancelled"), (1, "cancelled")]
