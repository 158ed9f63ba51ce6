"""Backends with a known fault, to test the method with: one that is slower by a tenth, and one that stalls."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from onnxpress_bench.backends import Batching
from onnxpress_bench.backends.onnxpress import Onnxpress

SLOWER_BY = 0.10
STALL_S, EVERY_S = 0.2, 1.0


class Slower(Onnxpress):
    """Each call takes a tenth longer, with the processor at work."""

    def one(self, item: Any) -> Any:
        start = time.perf_counter()
        answer = super().one(item)
        return self._linger(start, answer)

    def many(self, items: Sequence[Any], batching: Batching) -> Sequence[Any]:
        start = time.perf_counter()
        answers: Sequence[Any] = self._linger(start, super().many(items, batching))
        return answers

    @staticmethod
    def _linger(start: float, answer: Any) -> Any:
        end = time.perf_counter() + SLOWER_BY * (time.perf_counter() - start)
        while time.perf_counter() < end:
            pass
        return answer


class Stalling(Onnxpress):
    """Once a second, whatever call comes next waits for 200 ms."""

    _next_stall = 0.0

    def one(self, item: Any) -> Any:
        now = time.perf_counter()
        if now >= self._next_stall:
            self._next_stall = now + EVERY_S
            time.sleep(STALL_S)
        return super().one(item)
