"""Calls side by side in threads that are kept, for work that leaves the interpreter to others while it goes on:
decoding and resizing pictures.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import lru_cache
from typing import TypeVar

T = TypeVar("T")


def side_by_side(calls: Sequence[Callable[[], T]], threads: int) -> list[T]:
    """What each call returns, in their order; `threads` of them at a time at most, the caller's thread included.
    Context variables are the caller's.

    A call may have calls side by side itself: whoever waits does what nobody has begun, so that nobody waits for ever.

    Raises:
        Exception: what a call raises. What was not begun is left; what was is not waited for.
    """
    if threads < 2 or len(calls) < 2:
        return [call() for call in calls]
    pool = _pool(os.getpid(), threads - 1)
    futures: list[Future[T]] = [pool.submit(copy_context().run, call) for call in calls[:-1]]
    try:
        results = [calls[-1]()]
        for future, call in zip(reversed(futures), reversed(calls[:-1]), strict=True):
            results.append(call() if future.cancel() else future.result())
    finally:
        for future in futures:
            future.cancel()
    return results[::-1]


@lru_cache(maxsize=8)
def _pool(process: int, helpers: int) -> ThreadPoolExecutor:
    """By process: a forked child has not the threads of its parent."""
    return ThreadPoolExecutor(helpers, thread_name_prefix="onnxpress-helper")
