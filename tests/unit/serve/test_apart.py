"""Graphs that are open a second time for long rows: when they are opened, and when closed again."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx_ir
import pytest

pytest.importorskip("prometheus_client")

from onnxpress.engine.apart import is_apart
from onnxpress.engine.session import Session
from onnxpress.pipelines.batching import Limits
from onnxpress.samples import Sample
from onnxpress.serve.apart import REST_S, ApartGraphs
from onnxpress.serve.batches import BatchLane
from onnxpress.serve.compute import ComputeThread
from onnxpress.serve.costs import CostLine
from onnxpress.serve.jobs import NEVER, Job, Terms
from onnxpress.serve.metrics import Metrics
from onnxpress.serve.waiting import WaitingRows
from tests.fixtures.graphs import graph

BYTES = 1000
PATIENCE_S = 60.0


@dataclass(eq=False)
class Served:
    """A graph, the thread that computes long rows and the one that computes all else; `now` is the graphs' clock."""

    session: Session
    free: int | None = None
    now: float = 1000.0
    others: ComputeThread = field(default_factory=ComputeThread)
    aside: ComputeThread = field(default_factory=lambda: ComputeThread("aside"))

    def __post_init__(self) -> None:
        self.apart = ApartGraphs("model", [self.session], BYTES, self.others, lambda: self.free, lambda: self.now)
        self.lane = BatchLane("model", self.aside, WaitingRows(CostLine()), Metrics(), self.apart.used)
        self.aside.add(self.lane)
        self.aside.add(self.apart)

    def short(self) -> None:
        """Something else is computed now."""
        assert self.others.try_turn()
        self.others.end_turn(0.0)
        self.others.used_s = self.now

    def begin(self, until: threading.Event | None = None) -> tuple[Job, threading.Event]:
        """Compute a long row; its value says whether it was apart. It ends not before `until`."""
        ended = threading.Event()

        def compute(samples: object) -> list[bool]:
            self.session.run({"x": np.ones(2, np.float32)})
            if until is not None:
                assert until.wait(PATIENCE_S)
            return [is_apart() and self.session.opened(None).apart]

        job = Job(Terms("ada", NEVER), compute, Limits(100_000), lambda _: ended.set())
        job.add([Sample({}, 1)], "")
        self.lane.submit(job)
        return job, ended

    def long(self) -> bool:
        job, ended = self.begin()
        assert ended.wait(PATIENCE_S)
        while not self.aside.try_turn():  # until the thread has left it
            time.sleep(0.001)
        self.aside.end_turn(0.0)
        [value] = job.values
        assert isinstance(value, bool)
        return value

    @property
    def opened(self) -> bool:
        return self.session.has_apart

    def wake(self) -> None:
        """As the server's watch does."""
        self.aside.wake()
        time.sleep(0.2)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    onnx_ir.save(graph("g (float[n] x) => (float[n] y) { y = Add(x, x) }"), tmp_path / "g.onnx")
    served = Served(Session({"model": tmp_path / "g.onnx"}, threads=2))
    yield served
    for thread in (served.aside, served.others):
        thread.close()
    served.session.close()


def test_long_rows_beside_others_are_apart(served: Served) -> None:
    served.short()
    assert served.long() and served.opened and served.apart.bytes == BYTES
    assert not is_apart() and not served.session.opened(None).apart


def test_where_nothing_else_is_computed_they_are_not(served: Served) -> None:
    assert not served.long()
    served.short()
    served.now += REST_S + 1
    assert not served.long() and not served.opened and served.apart.bytes == 0


@pytest.mark.parametrize(("free", "is_room"), [(BYTES - 1, False), (BYTES, True), (None, True)])
def test_where_there_is_no_room_they_are_not(served: Served, free: int | None, is_room: bool) -> None:
    served.short()
    served.free = free
    assert served.long() == served.opened == is_room
    served.free = 0  # what is open stays so
    assert served.long() == is_room


def test_they_are_closed_a_minute_after_the_last_long_row_and_opened_again(served: Served) -> None:
    served.short()
    assert served.long()
    served.now += REST_S - 1
    served.wake()
    assert served.opened and served.long(), "though nothing else was computed for long"
    served.now += REST_S - 1
    served.wake()
    assert served.opened
    served.now += 1
    served.wake()
    assert not served.opened and served.apart.bytes == 0
    served.short()
    assert served.long() and served.apart.bytes == BYTES


def test_they_are_not_closed_while_a_row_is_computed(served: Served) -> None:
    served.short()
    go_on = threading.Event()
    job, ended = served.begin(go_on)
    while not served.opened:
        time.sleep(0.001)
    served.now += 2 * REST_S
    served.wake()
    assert served.opened and not ended.is_set()
    go_on.set()
    assert ended.wait(PATIENCE_S) and job.values == [True]
    served.now += REST_S
    served.wake()
    assert not served.opened


def test_they_are_closed_at_once_for_another_model(served: Served) -> None:
    served.short()
    assert served.long()
    assert served.apart.let_go() == BYTES and served.apart.bytes == 0 and served.apart.let_go() == 0
    served.wake()
    assert not served.opened


def test_a_row_that_fails_leaves_the_thread_as_it_was(served: Served) -> None:
    served.short()
    with pytest.raises(ValueError), served.apart.used():
        raise ValueError
    assert not is_apart() and served.long()
