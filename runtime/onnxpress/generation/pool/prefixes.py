"""Keeps the caches of earlier calls, so that a call that begins with the same tokens need not read them again.

Bounded in bytes: what was not of use for the longest time goes first. For several threads: what one has taken, no other
finds. Knows no graph.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Hashable
from typing import Any

from onnxpress.generation.pool.cache import Cache, Ids, common_prefix

#: Fewer tokens are read again: a run for a few tokens costs about what a run for some more does.
LEAST_TOKENS = 16


class Prefixes:
    """Arguments:
    limit_bytes: memory for all; 0: nothing is kept.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._caches: list[Cache] = []  # the one of use last is the last

    @property
    def used_bytes(self) -> int:
        with self._lock:
            return sum(cache.used_bytes for cache in self._caches)

    def take(self, ids: Ids, more_than: int, owner: Hashable = 0) -> Cache | None:
        """Take out the cache that knows the longest beginning of `ids`, if that is more than so many tokens.

        Of an owner's rows alone.
        """
        self._after_fork()
        with self._lock:
            lengths = [best_row(cache, ids, owner)[1] for cache in self._caches]
            best = max(lengths, default=0)
            # Of equals the one that was of use last.
            return self._caches.pop(len(lengths) - 1 - lengths[::-1].index(best)) if best > more_than else None

    def put(self, cache: Cache) -> None:
        """Keep a cache that its owner does not use any more."""
        if not self.limit_bytes or all(len(cache.known(row)) < LEAST_TOKENS for row in range(cache.rows)):
            return
        self._after_fork()
        with self._lock:
            self._caches.append(cache)
            total = sum(cache.used_bytes for cache in self._caches)
            while total > self.limit_bytes:
                total -= self._caches.pop(0).used_bytes

    def clear(self) -> None:
        """Free the memory."""
        self._reset()

    def close(self) -> None:
        """Free the memory, and keep nothing from now on: calls that are still running may end later."""
        self.limit_bytes = 0
        self._reset()

    def _after_fork(self) -> None:
        if self._pid != os.getpid():  # the lock may be held by a thread that stayed in the parent
            self._reset()

    def __getstate__(self) -> dict[str, Any]:
        return {"limit_bytes": self.limit_bytes}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.limit_bytes = state["limit_bytes"]
        self._reset()


def best_row(cache: Cache, ids: Ids, owner: Hashable) -> tuple[int, int]:
    """The row of an owner that knows the longest beginning of `ids`, and its length."""
    lengths = [common_prefix(cache.known(row), ids) if cache.owner(row) == owner else 0 for row in range(cache.rows)]
    best = max(lengths)
    return lengths.index(best), best
