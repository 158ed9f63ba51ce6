"""The lane of a model that writes texts: a step of all of them is a piece of work, and they come and go at any step.

Requests are put in on the event loop; their events come back to it. Whoever leaves, or whose time is up, has left the
batch before its next token.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from onnxpress.errors import Cancelled, EngineError, OnnxpressError, TimeoutExceeded
from onnxpress.generation.driver import Driver, Tell, Ticket
from onnxpress.generation.events import Event
from onnxpress.generation.pace import Pace
from onnxpress.generation.pool.blocks import KeptBlocks
from onnxpress.generation.requests import Request
from onnxpress.generation.scheduler import Scheduler
from onnxpress.pipelines.base import Pipeline
from onnxpress.pipelines.writing import WritesTexts
from onnxpress.serve.compute import ComputeThread, Piece
from onnxpress.serve.errors import Overloaded
from onnxpress.serve.jobs import Priority
from onnxpress.serve.metrics import LaneState, Metrics
from onnxpress.serve.settings import WritingLimits

_LOG = logging.getLogger("onnxpress.serve")

#: How long whoever reads a stream is to wait for its next token, seconds.
TARGET_S = 0.15

#: Decoders of a model that are open at once for what others cannot join: beams, and what an encoder has read.
DECODERS = 2

#: Requests that may wait for each text that is being written.
_WAITING_OF_EACH = 4

#: The share of a request that ended in what the next one is expected to take.
_SHARE = 0.2


class WritingLane:
    """Implements `compute.Lane`. `scheduler` is the computing thread's own from now on."""

    def __init__(
        self,
        name: str,
        variant: str,
        thread: ComputeThread,
        scheduler: Scheduler,
        limits: WritingLimits,
        metrics: Metrics,
    ) -> None:
        self.name, self.variant = name, variant
        self._metrics = metrics
        self.driver = Driver(scheduler)
        self._scheduler = scheduler
        self._thread = thread
        self._limits = limits
        self._turning = threading.Lock()
        self._closed = False
        self._shares: Sequence[WritingLane] = ()
        self._last = 0.0  # when its last turn ended
        self._request_s = 1.0

    def check(self) -> None:
        """Raises:
        Overloaded: as many requests wait as may.
        """
        state, streams = self.state, self._limits.streams
        if state.waiting >= _WAITING_OF_EACH * streams:
            raise Overloaded(
                f"{state.waiting} requests wait for one of {streams} places: ask again later.",
                retry_after_s=max(1.0, state.waiting_s),
            )

    @property
    def state(self) -> LaneState:
        """What there is to do. From any thread; while a turn goes on the numbers are of its beginning or its end."""
        scheduler, waiting = self._scheduler, self.driver.waiting
        store = 0 if scheduler.store is None else scheduler.store.tokens
        waiting_s = self._request_s * waiting / self._limits.streams
        return LaneState(scheduler.rows, waiting, waiting_s, scheduler.tokens, store, scheduler.given_up)

    @property
    def texts(self) -> int:
        """How many are written, read or wait."""
        return self._scheduler.rows + self.driver.waiting

    def share(self, other: WritingLane) -> None:
        """Let the bounds of texts and of their memory be for both together, which belong to one thread."""
        with self._turning, other._turning:
            self._scheduler.beside, other._scheduler.beside = (other._scheduler,), (self._scheduler,)
            self._shares = other._shares = (self, other)

    def owner(self, client: str) -> str:
        """Whose a client's requests are: its own where clients have keys, so that the time of an answer tells nobody
        what another has sent."""
        return client if self._limits.apart else ""

    def put(self, request: Request, tell: Tell) -> Ticket:
        """Accept a request; `tell` hears its events in the computing thread."""
        tell = self._counted(request, tell)
        with self._thread.changed:
            ticket = self.driver.put(request, tell)
            self._thread.changed.notify()
        return ticket

    def _counted(self, request: Request, tell: Tell) -> Tell:
        """Count the tokens that a request hears, and how long each took."""
        metrics, name, latest = self._metrics, self.name, {-1: time.monotonic()}
        metrics.begun_texts.labels(name, self.variant).inc(request.config.num_return_sequences)

        def counted(event: Event) -> None:
            if event.token is not None:
                now = time.monotonic()
                if len(latest) == 1:
                    metrics.prompt_tokens.labels(name).inc(len(request.prompt))
                    metrics.found_tokens.labels(name).inc(event.cached)
                if event.row in latest:
                    metrics.between_tokens.labels(name).observe(now - latest[event.row])
                else:
                    metrics.first_token.labels(name).observe(now - latest[-1])
                metrics.written_tokens.labels(name).inc()
                latest[event.row] = now
            tell(event)

        return counted

    def note(self, seconds: float) -> None:
        """A request took so long."""
        self._request_s += _SHARE * (seconds - self._request_s)

    def head(self, now: float) -> float | None:
        """Between two steps others have their turn, until a reader would wait for too long."""
        if not self.driver.busy:
            return None
        return self._last + Priority.NORMAL.value if now - self._last < TARGET_S else now - TARGET_S

    def take(self, now: float) -> Piece | None:
        return self._turn if self.driver.busy else None

    def close(self) -> None:
        """End every text, and free the memory."""
        for lane in self._shares:
            with lane._turning:
                lane._scheduler.beside, lane._shares = (), ()
        with self._turning:
            self._closed = True
            if self._scheduler.store is not None:
                self._scheduler.store.fit(0)
            self.driver.close()

    def _turn(self) -> None:
        with self._turning:
            if not self._closed:
                self.driver.turn()
        self._last = time.monotonic()


def writing_lane(
    name: str, pipe: Pipeline[Any, Any], thread: ComputeThread, limits: WritingLimits, metrics: Metrics
) -> WritingLane | None:
    """The lane of a model that writes texts; None: it does something else."""
    if not isinstance(pipe, WritesTexts):
        return None
    writer, token_bytes = pipe.writer, pipe.writer.token_bytes
    steady = limits.deterministic
    apart = steady and not writer.steady
    store = None if token_bytes is None or steady else KeptBlocks(limits.cache_bytes, token_bytes)
    scheduler = Scheduler(
        writer.opener(store, steady=steady),
        writer.limit,
        rows=limits.streams,
        pace=Pace(TARGET_S),
        tokens=None if token_bytes is None else max(limits.cache_bytes // token_bytes, 1),
        decoders=None if apart else DECODERS,
        steady=steady,
        apart=apart,
        store=store,
    )
    return WritingLane(name, pipe.precision, thread, scheduler, limits, metrics)


async def listen(
    lane: WritingLane,
    requests: Sequence[Request],
    left: Callable[[], Awaitable[object]],
    deadline: float,
) -> AsyncIterator[tuple[int, Event]]:
    """(number of the request, event) of each, to the end of all. Leaving the iterator cancels what is not finished.

    What went wrong with a request alone is its last event's `error`.

    Args:
        left: ends when the client is gone: so do the requests then, whether or not anybody reads on.

    Raises:
        Cancelled: the client is gone; TimeoutExceeded: the time is up.
    """
    loop, heard = asyncio.get_running_loop(), asyncio.Queue[tuple[int, Event]]()

    def teller(number: int) -> Tell:
        def tell(event: Event) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(heard.put_nowait, (number, event))

        return tell

    started = time.monotonic()
    tickets = [lane.put(request, teller(number)) for number, request in enumerate(requests)]

    def cancel(_: object = None) -> None:
        for ticket in tickets:
            ticket.cancel()

    gone = asyncio.ensure_future(left())
    gone.add_done_callback(cancel)
    unfinished = sum(request.config.num_return_sequences for request in requests)
    try:
        while unfinished:
            number, event = await heard.get()
            # A text whose own time is up ends as if it were complete.
            if event.finish == "cancelled" and (gone.done() or requests[number].config.max_time is None):
                if gone.done():
                    raise Cancelled("The client left.")
                if time.monotonic() >= deadline:
                    raise TimeoutExceeded("The request's time was up before its text was complete.")
                raise Cancelled("The model is being closed.")
            unfinished -= event.finish is not None
            yield number, event
        lane.note(time.monotonic() - started)
    finally:
        gone.cancel()
        cancel()


def failure_of(error: Exception) -> OnnxpressError:
    """What is told of a request that failed: its own error, or that the model failed on it."""
    if isinstance(error, OnnxpressError):
        return error
    _LOG.error("a text failed", exc_info=error)
    failure = EngineError("The model failed on this input.")
    failure.__cause__ = error
    return failure
