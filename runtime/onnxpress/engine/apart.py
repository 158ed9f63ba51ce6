"""Sets runs apart from the others of their sessions: they have memory and threads of their own.

A long run slows down the short ones beside it. The threads of a graph serve all its runs, so that a thread of low
priority does its work with threads of usual priority; and while ONNX Runtime takes gigabytes for a run, no other run of
the graph gets any memory. What is computed within `apart` has the graphs opened a second time (`Session.opened`). The
threads of that opening begin in the thread that is the first to run there, and on Linux have its niceness.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_apart: ContextVar[bool] = ContextVar("apart", default=False)


@contextmanager
def apart() -> Iterator[None]:
    """What this thread runs here is apart from the runs of others, where the device is a processor: on one that has
    memory of its own, that captures runs or compiles graphs it is not. `Session.rest(apart_alone=True)` frees the
    memory, as closing the session does; runs give none of it back."""
    token = _apart.set(True)
    try:
        yield
    finally:
        _apart.reset(token)


def is_apart() -> bool:
    """Whether this thread's runs are to be apart."""
    return _apart.get()
