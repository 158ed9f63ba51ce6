"""Ends calls early: when their caller says so, from any thread, or when their time is up.

Whatever runs a graph asks `run_options` whether the call that it is part of may go on, and lets ONNX Runtime end a run
between two of its nodes. So a call need not hand its deadline down through every layer.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from onnxpress.engine.providers import import_onnxruntime
from onnxpress.errors import Cancelled, OnnxpressError, TimeoutExceeded

if TYPE_CHECKING:
    from onnxruntime import RunOptions


_NEVER = float("inf")


class Cancel:
    """Ends the calls that it is given to, `pipe(texts, cancel=...)`, with `Cancelled`: those that go on, as soon as the
    node is done that ONNX Runtime computes, and those that come later. For any number of calls and threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cancelled = False
        self._stops: set[Stop] = set()

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._cancelled

    def cancel(self) -> None:
        """End the calls. Any thread may call this, any number of times."""
        with self._lock:
            self._cancelled = True
            stops = list(self._stops)
        for stop in stops:
            stop.end()

    def __reduce__(self) -> tuple[Any, ...]:
        return Cancel, ()

    def watch(self, stop: Stop) -> None:
        """Tell a call's `stop` when its runs are to end."""
        with self._lock:
            self._stops.add(stop)

    def forget(self, stop: Stop) -> None:
        """The call is over."""
        with self._lock:
            self._stops.discard(stop)


class Stop:
    """When one call has to end: after `timeout` seconds from now, or from `restart`; when `cancel` says so."""

    def __init__(self, timeout: float | None, cancel: Cancel | None) -> None:
        self._timeout = timeout
        self._cancel = cancel
        self._lock = threading.Lock()
        self._running: list[RunOptions] = []
        self.deadline = _NEVER
        self.restart()

    def restart(self) -> None:
        """Begin to count the time anew."""
        if self._timeout is not None:
            self.deadline = time.monotonic() + self._timeout

    @property
    def error(self) -> OnnxpressError | None:
        """Why the call has to end; None: it may go on."""
        if self._cancel is not None and self._cancel.cancelled:
            return Cancelled("The call was cancelled.")
        if time.monotonic() >= self.deadline:
            return TimeoutExceeded(f"The call took longer than its timeout, {self._timeout} s.")
        return None

    def check(self) -> None:
        """Raises:
        Cancelled, TimeoutExceeded: the call has to end.
        """
        if (error := self.error) is not None:
            raise error

    def end(self) -> None:
        """End the runs that go on."""
        with self._lock:
            for options in self._running:
                options.terminate = True

    @contextmanager
    def run(self, options: RunOptions) -> Iterator[None]:
        """What is run with these options is part of the call, and ends with it.

        Raises:
            Cancelled, TimeoutExceeded: the call has to end, or did.
        """
        with self._lock:
            self._running.append(options)
        clock = None if self._timeout is None else _clock()
        watchers = [watcher for watcher in (self._cancel, clock) if watcher is not None]
        for watcher in watchers:
            watcher.watch(self)
        try:
            self.check()  # after the watchers know: what ends the call now ends the run
            yield
        except Exception as failure:
            if (error := self.error) is not None and failure is not error:
                raise error from None
            raise
        finally:
            for watcher in watchers:
                watcher.forget(self)
            with self._lock:
                self._running.remove(options)


_current: ContextVar[Stop | None] = ContextVar("stop", default=None)


@contextmanager
def within(stop: Stop | None) -> Iterator[None]:
    """What this thread does here is part of the call that has to end by `stop`; None: it need not.

    Raises:
        Cancelled, TimeoutExceeded: it has to end now.
    """
    if stop is None:
        yield
        return
    stop.check()
    token = _current.set(stop)
    try:
        yield
    finally:
        _current.reset(token)


def seconds_left() -> float:
    """Seconds until the call that this thread works for has to end; infinitely many: nobody said when.

    Raises:
        Cancelled, TimeoutExceeded: it has to end now.
    """
    stop = _current.get()
    if stop is None:
        return _NEVER
    stop.check()
    return stop.deadline - time.monotonic()


@contextmanager
def run_options(options: RunOptions | None = None) -> Iterator[RunOptions | None]:
    """The options of a run, which ends with the call that it is part of. None: it needs none.

    Raises:
        Cancelled, TimeoutExceeded: the call has to end, or did.
    """
    stop = _current.get()
    if stop is None:
        yield options
        return
    chosen = import_onnxruntime().RunOptions() if options is None else options
    with stop.run(chosen):
        yield chosen


class _Clock:
    """A thread that ends the runs of calls whose time is up."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._stops: set[Stop] = set()
        self._wakes = _NEVER
        self._started = False

    def watch(self, stop: Stop) -> None:
        """End the runs of a call when its time is up."""
        with self._condition:
            if not self._started:
                self._started = True
                threading.Thread(target=self._work, name="onnxpress-clock", daemon=True).start()
            self._stops.add(stop)
            if stop.deadline < self._wakes:
                self._condition.notify()

    def forget(self, stop: Stop) -> None:
        """The call's run is over."""
        with self._condition:
            self._stops.discard(stop)

    def _work(self) -> None:
        with self._condition:
            while True:
                now = time.monotonic()
                for stop in [stop for stop in self._stops if stop.deadline <= now]:
                    self._stops.discard(stop)
                    stop.end()
                self._wakes = min((stop.deadline for stop in self._stops), default=_NEVER)
                self._condition.wait(None if self._wakes == _NEVER else max(self._wakes - now, 0.0))


#: By process: threads do not live on in a forked child.
_clocks: dict[int, _Clock] = {}


def _clock() -> _Clock:
    clock = _clocks.get(os.getpid())
    return _clocks.setdefault(os.getpid(), _Clock()) if clock is None else clock
