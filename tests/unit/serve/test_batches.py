"""A row that is computed where it was asked for, and when it is not: something is computed, waits, or takes long."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

pytest.importorskip("prometheus_client")

from onnxpress.errors import EngineError
from onnxpress.pipelines.batching import Limits
from onnxpress.samples import Sample
from onnxpress.serve.batches import BatchLane
from onnxpress.serve.compute import ComputeThread
from onnxpress.serve.costs import CostLine
from onnxpress.serve.jobs import NEVER, Job, Terms
from onnxpress.serve.metrics import Metrics
from onnxpress.serve.waiting import WaitingRows


@pytest.fixture
def thread() -> Iterator[ComputeThread]:
    running = ComputeThread()
    yield running
    running.close()


def lane_of(thread: ComputeThread, row_s: float = 1e-3) -> BatchLane:
    """A lane whose rows are expected to take so long."""
    lane = BatchLane("model", thread, WaitingRows(CostLine(row_s, 1e-9)), Metrics())
    thread.add(lane)
    return lane


def job_of(compute: Any, rows: int = 1, deadline: float = NEVER) -> tuple[Job, threading.Event]:
    """A request, and what is set when it has ended in the computing thread."""
    ended = threading.Event()
    job = Job(Terms("ada", deadline), compute, Limits(100_000), lambda _: ended.set())
    job.add([Sample({}, 1)] * rows, "")
    return job, ended


def where(samples: Sequence[Sample]) -> list[str]:
    """Values that say which thread computed them."""
    return [threading.current_thread().name] * len(samples)


def test_a_lone_row_is_computed_in_the_thread_that_asks(thread: ComputeThread) -> None:
    job, ended = job_of(where)
    count = lane_of(thread).at_once(job)
    assert count is not None and job.values == [threading.current_thread().name]
    assert not ended.is_set() and thread.busy_s > 0
    count()


@pytest.mark.parametrize("why", ["rows", "long", "late"])
def test_others_are_not(thread: ComputeThread, why: str) -> None:
    lane = lane_of(thread, row_s=1.0 if why == "long" else 1e-3)
    late = time.monotonic() if why == "late" else NEVER
    job, _ = job_of(where, rows=2 if why == "rows" else 1, deadline=late)
    assert lane.at_once(job) is None and job.missing == len(job.rows)


def test_none_is_while_something_is_computed_or_waits(thread: ComputeThread) -> None:
    lane, go_on, begun = lane_of(thread), threading.Event(), threading.Event()

    def compute(samples: Sequence[Sample]) -> list[str]:
        begun.set()
        go_on.wait(30)
        return where(samples)

    busy, ended = job_of(compute)
    lane.submit(busy)
    assert begun.wait(30)
    job, other_ended = job_of(where)
    assert lane.at_once(job) is None
    lane.submit(job)
    go_on.set()
    assert ended.wait(30) and other_ended.wait(30)
    assert busy.values == job.values == ["onnxpress-compute"]


def test_what_waits_meanwhile_is_computed_after_it(thread: ComputeThread) -> None:
    lane = lane_of(thread)
    waiting, ended = job_of(where)

    def compute(samples: Sequence[Sample]) -> list[str]:
        lane.submit(waiting)
        assert not ended.wait(0.05), "two batches shared the cores"
        return where(samples)

    job, _ = job_of(compute)
    assert lane.at_once(job) is not None
    assert ended.wait(30) and waiting.values == ["onnxpress-compute"]


def test_a_row_that_fails_has_its_error_and_the_turn_is_given_back(thread: ComputeThread) -> None:
    lane = lane_of(thread)

    def compute(samples: Sequence[Sample]) -> list[str]:
        raise ValueError("a bug")

    for _ in range(2):
        job, _ = job_of(compute)
        assert lane.at_once(job) is not None
        assert isinstance(job.values[0], EngineError)
