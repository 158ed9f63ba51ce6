"""The graphs of a model that are open a second time, for the rows that are computed aside.

Long runs then take neither the threads nor the memory of short ones. That costs the weights once more: it is done where
there is room, and where others are computed meanwhile. (docs/decisions/0132-long-rows-have-graphs-of-their-own.md)
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from onnxpress.engine.apart import apart
from onnxpress.engine.session import Session
from onnxpress.serve.compute import ComputeThread, Piece

_LOG = logging.getLogger("onnxpress.serve")

#: After which they are closed that no row came for, seconds; so long others count that were computed.
REST_S = 60.0


class ApartGraphs:
    """Opens them with the first row that has a use for them. Implements `compute.Lane`, of the thread that computes
    the rows: its only piece of work closes them, so that none is computed meanwhile.

    Args:
        sessions: of the model's pipelines, whose graphs they are.
        needed_bytes: what they are expected to take.
        others: the thread that computes all else.
        free: the bytes that there is room for; None: nobody knows.
        clock: seconds.
    """

    def __init__(
        self,
        name: str,
        sessions: Sequence[Session],
        needed_bytes: int,
        others: ComputeThread,
        free: Callable[[], int | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        #: What they take; 0: they are not open.
        self.bytes = 0
        self._sessions, self._needed_bytes = [session for session in sessions if session.may_be_apart], needed_bytes
        self._others, self._free, self._clock = others, free, clock
        self._open = False
        self._used_s = float("-inf")

    @contextmanager
    def used(self) -> Iterator[None]:
        """What this thread computes here, it computes with them; in the graphs of all where there is no room, or where
        nothing else was computed in the last minute."""
        if not self._open and not self._of_use():
            yield
            return
        if not self._open:
            _LOG.info("graphs opened for long rows", extra={"model": self.name, "bytes": self._needed_bytes})
        self._open, self.bytes = True, self._needed_bytes
        try:
            with apart():
                yield
        finally:
            self.bytes, self._used_s = self._needed_bytes, self._clock()

    def let_go(self) -> int:
        """Have them closed as soon as no row is computed with them; the bytes that they took."""
        freed, self.bytes = self.bytes, 0
        self._used_s = float("-inf")
        return freed

    def head(self, now: float) -> float | None:
        due_s = self._used_s + REST_S
        return due_s if self._open and self._clock() >= due_s else None

    def take(self, now: float) -> Piece | None:
        return self._close

    def _of_use(self) -> bool:
        if not self._sessions or self._clock() - self._others.used_s > REST_S:
            return False
        free = self._free()
        return free is None or self._needed_bytes <= free

    def _close(self) -> None:
        self._open, self.bytes = False, 0
        for session in self._sessions:
            session.rest(apart_alone=True)
        _LOG.info("graphs for long rows closed", extra={"model": self.name})
