"""The thread that computes: a piece of work at a time, of the model whose work is most urgent.

What a piece is, a lane says: a batch of rows, or a step of texts that are being written. So whatever computes on this
machine waits in one place, and no two of them share the cores; but for what takes so long that nobody should have to
wait for it, which a second thread computes in what the first one leaves.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Protocol

_LOG = logging.getLogger("onnxpress.serve")

Piece = Callable[[], None]


class Lane(Protocol):
    """Work of one kind. Both methods are called with the lock of the thread held, and are quick."""

    def head(self, now: float) -> float | None:
        """The virtual deadline of its most urgent work; None: there is none."""

    def take(self, now: float) -> Piece | None:
        """Its next piece of work, which is called without the lock; None: there is none after all."""


class ComputeThread:
    """Computes pieces of lanes until it is closed. `busy_s`: seconds that were computed; `used_s`: when the latest
    piece ended, by `time.monotonic`.

    Args:
        niceness: how far it stands back for the other threads of this machine, 0 to 19 (Linux alone).
    """

    def __init__(self, name: str = "onnxpress-compute", niceness: int = 0) -> None:
        self.changed = threading.Condition()
        self.busy_s = 0.0
        self.used_s = float("-inf")
        #: Whether a piece is being computed, here or by whoever took the turn; under the lock.
        self._computing = False
        self._lanes: list[Lane] = []
        self._closing = False
        self._niceness = niceness
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def add(self, lane: Lane) -> None:
        """Let a lane have its turn from now on."""
        with self.changed:
            self._lanes.append(lane)
            self.changed.notify()

    def remove(self, lane: Lane) -> None:
        """A lane has no more turns."""
        with self.changed:
            self._lanes = [other for other in self._lanes if other is not lane]

    def try_turn(self) -> bool:
        """Take a turn to compute in the calling thread, which `end_turn` gives back; False: something is computed or
        waits."""
        with self.changed:
            if self._computing or self._closing or self._waits():
                return False
            self._computing = True
            return True

    def end_turn(self, seconds: float) -> None:
        """The calling thread has computed for so long."""
        with self.changed:
            self._computed(seconds)
            if self._closing or self._waits():
                self.changed.notify()

    def wake(self) -> None:
        """Look for work that is due by now."""
        with self.changed:
            self.changed.notify()

    def close(self) -> None:
        """End when the piece that is computed is done."""
        with self.changed:
            self._closing = True
            self.changed.notify()
        self._thread.join()

    def _work(self) -> None:
        if self._niceness and sys.platform == "linux":
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), self._niceness)
        while True:
            with self.changed:
                while (self._computing or (piece := self._next()) is None) and not self._closing:
                    self.changed.wait()
                if self._computing or piece is None:  # it is closed, and whoever has the turn ends without it
                    return
                self._computing = True
            started = time.perf_counter()
            try:
                piece()
            except Exception:  # a lane answers for its own failures; the thread outlives what it missed
                _LOG.exception("a piece of work failed")
            del piece  # its rows and their pictures
            with self.changed:
                self._computed(time.perf_counter() - started)

    def _computed(self, seconds: float) -> None:
        self._computing = False
        self.busy_s += seconds
        self.used_s = time.monotonic()

    def _waits(self) -> bool:
        now = time.monotonic()
        return any(lane.head(now) is not None for lane in self._lanes)

    def _next(self) -> Piece | None:
        now = time.monotonic()
        heads = [(due, place) for place, lane in enumerate(self._lanes) if (due := lane.head(now)) is not None]
        for _, place in sorted(heads):
            if (piece := self._lanes[place].take(now)) is not None:
                return piece
        return None
