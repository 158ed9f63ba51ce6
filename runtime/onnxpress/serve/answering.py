"""From a call to its results: prepared, waited for, computed among others, finished; or left, if its client is gone.

This is the way of every task and every protocol. What is quick is done on the event loop; pictures, sounds and long
texts are prepared in a pool, so that /health answers meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from onnxpress.errors import Cancelled, OnnxpressError, TimeoutExceeded
from onnxpress.generation.events import Event, collect
from onnxpress.pipelines.batching import Limits, Prepared
from onnxpress.pipelines.writing import WritesTexts
from onnxpress.samples import Sample
from onnxpress.serve.batches import BatchLane
from onnxpress.serve.jobs import MOST_INTERACTIVE_ROWS, NEVER, Job, Priority, Terms
from onnxpress.serve.lengths import Shortened, check_lengths
from onnxpress.serve.versions import AnyPipeline, Version
from onnxpress.serve.writing import WritingLane, failure_of, listen

Value = TypeVar("Value")

#: For so long nobody looks whether a client is still there, seconds.
_UNWATCHED_S = 0.02

#: Texts of so many characters together are encoded on the event loop: under a millisecond.
_QUICK_CHARACTERS = 4_000

#: Rows of a request whose results are finished there.
_QUICK_ROWS = 8


@dataclass(slots=True)
class Figures:
    """What an answer took: for its headers, its usage and the log."""

    tokens: int = 0
    rows: int = 0
    batch_rows: int = 0
    prepare_s: float = 0.0
    queue_s: float = 0.0
    compute_s: float = 0.0
    model: str = ""
    task: str = ""
    variant: str = ""
    cut: list[Shortened] = field(default_factory=list)

    def add(self, job: Job, prepare_s: float) -> None:
        """Count a job that ended."""
        self.prepare_s += prepare_s
        self.tokens += job.cost
        self.rows += len(job.rows)
        self.batch_rows = max(self.batch_rows, job.batch_rows)
        self.queue_s += 0.0 if job.begun is None else job.begun - job.arrived
        self.compute_s += job.computed_s


class Answerer:
    """Answers calls. `pool`: threads for what is not quick. `alone`: whether no other request is being answered."""

    def __init__(self, pool: ThreadPoolExecutor, alone: Callable[[], bool]) -> None:
        self._pool = pool
        self._alone = alone

    async def answer(
        self,
        version: Version,
        task: str,
        inputs: Sequence[Any],
        options: Mapping[str, Any],
        terms: Terms,
        left: Callable[[], Awaitable[object]],
        figures: Figures,
        *,
        truncate: bool = False,
    ) -> list[Any]:
        """A result for each input, as a stream of them through the task's pipeline gives it.

        Args:
            left: ends when the client is gone.
            figures: what this takes is added to them.
            truncate: whether a text beyond the model's limit is cut to it, where the task cuts texts at all; what was
                cut is noted in `figures`.

        Raises:
            OnnxpressError: about an input, with its `index`; or about all.
        """
        pipe = version.pipelines[task]
        figures.model, figures.task, figures.variant = version.name, task, pipe.precision
        # A model that writes nothing is not asked whether it is a protocol's instance, which takes long.
        writing = version.writing if version.writing is not None and isinstance(pipe, WritesTexts) else None
        if writing is None:  # before anything is spent on it
            version.lane.check(terms.client)
        else:
            writing.check()
        started = time.perf_counter()
        chosen, limits = pipe.asked(options)
        quick = _characters(inputs) <= _QUICK_CHARACTERS

        def prepared() -> list[Prepared[Any]]:
            requests = _prepared(pipe, inputs, chosen)
            figures.cut += check_lengths(pipe, inputs, requests, chosen, truncate=truncate)
            return requests

        requests = prepared() if quick else await self._in_pool(prepared)
        prepare_s = time.perf_counter() - started
        samples = [sample for request in requests for sample in request.samples]
        if writing is not None and isinstance(pipe, WritesTexts):
            figures.prepare_s += prepare_s
            values = await _written(writing, pipe, samples, chosen, limits, terms, left, figures)
        else:
            job = Job(terms, lambda samples: pipe.compute(samples, chosen), limits)
            job.add(samples, _identity(pipe, task, chosen))
            count = version.lane.at_once(job) if self._alone() else None
            if count is not None:
                asyncio.get_running_loop().call_soon(count)
            elif job.rows:
                await self._computed(version.lane_of(job), job, left)
            figures.add(job, prepare_s)
            values = job.values

        def finished() -> list[Any]:
            results, place = [], 0
            for index, request in enumerate(requests):
                some = values[place : place + len(request.samples)]
                place += len(request.samples)
                error = next((value for value in some if isinstance(value, OnnxpressError)), None)
                if error is not None:
                    raise _placed(error, index, len(inputs))
                results.append(pipe.finish(request.context, some, chosen))
            return results

        return finished() if quick and len(samples) <= _QUICK_ROWS else await self._in_pool(finished)

    async def _computed(self, lane: BatchLane, job: Job, left: Callable[[], Awaitable[object]]) -> None:
        """Let a request's rows wait, until it has all its values, its client is gone, or its time is up.

        Raises:
            TooLarge, Overloaded: as of `BatchLane.submit`.
            Cancelled, TimeoutExceeded: its client is gone, or its time is up; its rows have left the queue.
        """
        loop, timers = asyncio.get_running_loop(), list[asyncio.TimerHandle]()
        ended: asyncio.Future[None] = loop.create_future()
        watching: list[asyncio.Task[None]] = []
        job.ended = lambda _: _tell(loop, ended)
        lane.submit(job)

        def give_up(error: OnnxpressError) -> None:
            if not ended.done():
                ended.set_exception(error)

        def watch() -> None:
            task = asyncio.ensure_future(_until(left))
            task.add_done_callback(lambda done: None if done.cancelled() else give_up(Cancelled("The client left.")))
            watching.append(task)

        # Most requests have ended before anybody could have left; watching all of them would cost more than computing
        # for those few.
        timers.append(loop.call_later(_UNWATCHED_S, watch))
        if job.terms.deadline != NEVER:
            late = TimeoutExceeded("The request's time was up before it was computed.")
            timers.append(loop.call_at(job.terms.deadline, give_up, late))
        try:
            await ended
        except (asyncio.CancelledError, OnnxpressError):
            lane.leave(job)
            raise
        finally:
            for timer in timers:
                timer.cancel()
            for task in watching:
                task.cancel()

    async def _in_pool(self, work: Callable[[], Value]) -> Value:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)


async def _written(
    lane: WritingLane,
    pipe: WritesTexts,
    samples: Sequence[Sample],
    options: Any,
    limits: Limits,
    terms: Terms,
    left: Callable[[], Awaitable[object]],
    figures: Figures,
) -> list[Any]:
    """The values of samples about which texts are written, beside those of others; of one that fails its error.

    Raises:
        OnnxpressError: as of `listen`.
    """
    call, started = pipe.call(options), time.perf_counter()
    each = call.config.num_return_sequences
    hooks = pipe.writer.hooks(call, lambda: time.monotonic() >= terms.deadline)
    bulk = terms.priority is Priority.BATCH or len(samples) > MOST_INTERACTIVE_ROWS
    priority = -1 if bulk else int(terms.priority is Priority.HIGH)
    requests = [
        pipe.writer.request(
            *(sample, call, hooks),
            first_row=number * each,
            priority=priority,
            owner=lane.owner(terms.client),
            kind=limits.key(sample),
        )
        for number, sample in enumerate(samples)
    ]
    events: list[Event] = []
    errors: dict[int, OnnxpressError] = {}
    try:
        async for number, event in listen(lane, requests, left, terms.deadline):
            if event.error is not None:
                errors[number] = failure_of(event.error)
            events.append(event)
    finally:
        figures.compute_s += time.perf_counter() - started
        figures.rows += len(samples) * each
        figures.batch_rows = max(figures.batch_rows, len(samples) * each)
        figures.tokens += sum(sample.cost for sample in samples) + sum(event.token is not None for event in events)
    texts = collect(events, [request.prompt for request in requests], each)
    done = [number for number in range(len(samples)) if number not in errors]
    values = pipe.values([samples[number] for number in done], [texts[number] for number in done], options)
    of_number: dict[int, Any] = {**dict(zip(done, values, strict=True)), **errors}
    return [of_number[number] for number in range(len(samples))]


async def _until(left: Callable[[], Awaitable[object]]) -> None:
    await left()


def _tell(loop: asyncio.AbstractEventLoop, ended: asyncio.Future[None]) -> None:
    """From the computing thread: a request has all its values. The loop may be closed by then."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(_resolve, ended)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _prepared(pipe: AnyPipeline, inputs: Sequence[Any], options: Any) -> list[Prepared[Any]]:
    if len(inputs) > 1 and all(pipe.foresee(item, options) is not None for item in inputs):
        try:
            entries = pipe.prepare_many(inputs, options)
        except OnnxpressError:  # of which input, each alone will tell
            pass
        else:
            return [_ready(entry, index, len(inputs)) for index, entry in enumerate(entries)]
    requests = []
    for index, item in enumerate(inputs):
        try:
            requests.append(pipe.prepare(item, options))
        except OnnxpressError as error:
            raise _placed(error, index, len(inputs)) from error
    return requests


def _ready(entry: Prepared[Any] | OnnxpressError, index: int, count: int) -> Prepared[Any]:
    """What an input became.

    Raises:
        OnnxpressError: it became nothing; with its place.
    """
    if isinstance(entry, OnnxpressError):
        raise _placed(entry, index, count) from entry
    return entry


def _placed(error: OnnxpressError, index: int, count: int) -> OnnxpressError:
    """The error with the place of its input, where there are several."""
    if error.of_input and count > 1:
        error.index = index
    return error


def _identity(pipe: AnyPipeline, task: str, options: Any) -> tuple[str, str]:
    """What rows must have in common to be reduced together: their task and their options."""
    return task, "" if options is pipe.options else repr(options)


def _characters(inputs: Sequence[Any]) -> int:
    """How much text inputs hold; anything but text counts as much as is never quick."""
    total = 0
    waiting = list(inputs)
    while waiting and total <= _QUICK_CHARACTERS:
        item = waiting.pop()
        if isinstance(item, str):
            total += len(item)
        elif isinstance(item, Mapping):
            waiting.extend(item.values())
        elif isinstance(item, (list, tuple)):
            waiting.extend(item)
        elif isinstance(item, (bytes, bytearray)) or hasattr(item, "nbytes"):
            return _QUICK_CHARACTERS + 1
    return total
