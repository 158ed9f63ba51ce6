"""The lane of a model whose rows are computed in batches: takes what is most urgent, runs it, gives each row its value.

A batch that fails is computed again in halves, so that a row that cannot be computed costs its neighbours no more than
time. A value that is not a number is an error of its row.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from onnxpress.engine.stopping import Stop, within
from onnxpress.errors import EngineError, OnnxpressError
from onnxpress.pipelines.streaming import run_apart
from onnxpress.samples import Sample
from onnxpress.serve.compute import ComputeThread, Piece
from onnxpress.serve.jobs import Job, QueuedRow
from onnxpress.serve.metrics import Metrics
from onnxpress.serve.waiting import WaitingRows

_LOG = logging.getLogger("onnxpress.serve")

#: What is expected to take no longer may hold up the event loop.
_AT_ONCE_S = 0.010


class BatchLane:
    """Implements `compute.Lane` for one version of a model.

    Args:
        place: where the thread computes its batches.
    """

    def __init__(
        self,
        name: str,
        thread: ComputeThread,
        waiting: WaitingRows,
        metrics: Metrics,
        place: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self.name = name
        self.waiting = waiting
        self._thread = thread
        self._metrics = metrics
        self._place = place

    def check(self, client: str, *, bulk: bool = False) -> None:
        """Raises:
        Overloaded: work of this client may not wait here now.
        """
        self.waiting.check(client, bulk=bulk)

    def submit(self, job: Job) -> None:
        """Let a request's rows wait; `job.ended` is called when each has a value.

        Raises:
            TooLarge, Overloaded: as of `WaitingRows.add`.
        """
        job.arrived = time.monotonic()
        with self._thread.changed:
            self.waiting.add(job, job.arrived)
            self._thread.changed.notify()

    def at_once(self, job: Job) -> Callable[[], None] | None:
        """Compute a request's only row in the calling thread, where that is quick and nothing else is computed or
        waits: its way to the computing thread and back would take longer than much of a small model.

        Returns:
            What is left to be counted, when the answer is on its way; None: it was not computed.
        """
        job.arrived = begun = time.monotonic()
        expected_s = self.waiting.costs.seconds(1, job.cost)
        quick = len(job.rows) == 1 and expected_s <= min(_AT_ONCE_S, job.terms.deadline - begun)
        if not (quick and self._thread.try_turn()):
            return None
        seconds = 0.0
        try:
            seconds = self._compute(job.rows, begun, None)
        finally:
            self._thread.end_turn(seconds)
        return lambda: self._count(job.rows, [job], seconds)

    def leave(self, job: Job) -> None:
        """Nobody waits for a request any more: its rows leave the queue, and a run of it alone ends."""
        with self._thread.changed:
            dropped = self.waiting.discard(job)
        job.leave()
        self._metrics.dropped_rows.labels(self.name).inc(dropped)

    def head(self, now: float) -> float | None:
        return self.waiting.head(now)

    def take(self, now: float) -> Piece | None:
        rows = self.waiting.take(now)
        return (lambda: self._run(rows)) if rows else None

    def _run(self, rows: Sequence[QueuedRow]) -> None:
        begun = time.monotonic()
        jobs = list(dict.fromkeys(row.job for row in rows))
        first = [job for job in jobs if job.begun is None]
        with self._place():
            seconds = self._compute(rows, begun, Stop(None, jobs[0].cancel) if len(jobs) == 1 else None)
        for job in jobs:
            if job.missing == 0:
                job.ended(job)
        self._count(rows, first, seconds)  # while whoever waited is answered

    def _compute(self, rows: Sequence[QueuedRow], begun: float, stop: Stop | None) -> float:
        """Give each row of a batch its value, or an error. Seconds that it took."""
        compute = rows[0].job.compute
        try:
            with within(stop):
                values = run_apart(lambda samples: _computed(compute, samples), [row.sample for row in rows])
        except OnnxpressError as error:  # not about one row: the call was cancelled, the model was closed
            values = [error] * len(rows)
        except Exception:
            _LOG.exception("%s: a batch failed", self.name)
            values = [EngineError("The model failed on this input.")] * len(rows)
        seconds = time.monotonic() - begun
        for job in {row.job for row in rows}:
            job.begun = begun if job.begun is None else job.begun
            job.computed_s += seconds
            job.batch_rows = max(job.batch_rows, len(rows))
        for row, value in zip(rows, values, strict=True):
            row.job.settle(row.index, value)
        return seconds

    def _count(self, rows: Sequence[QueuedRow], first: Sequence[Job], seconds: float) -> None:
        costs = [row.sample.cost for row in rows]
        with self._thread.changed:
            self.waiting.costs.note(len(rows), max(costs), seconds)
        self._metrics.batch(self.name, len(rows), sum(costs), len(rows) * max(costs), seconds)
        for job in first:
            self._metrics.wait(self.name, (job.begun or job.arrived) - job.arrived)


def _computed(compute: Any, samples: Sequence[Sample]) -> Sequence[Any]:
    """The values of samples; an error in the place of one that is not a number.

    Raises:
        OnnxpressError: as of `compute`; EngineError for whatever else it raises.
    """
    try:
        values = compute(samples)
    except OnnxpressError:
        raise
    except Exception as failure:
        _LOG.exception("a batch of %d rows failed", len(samples))
        raise EngineError("The model failed on this input.") from failure
    return [EngineError("The model answers this input with NaN.") if _has_nan(value) else value for value in values]


def _has_nan(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.dtype.kind == "f" and bool(np.isnan(value).any())
    if isinstance(value, float):
        return value != value
    if isinstance(value, Mapping):
        return any(_has_nan(part) for part in value.values())
    return False
