"""The thread that computes: a piece of work at a time, of the model whose work is most urgent.

What a piece is, a lane says: a batch of rows, or a step of texts that are being written. So whatever computes on this
machine waits in one place, and no two of them share the cores.
"""

from __future__ import annotations

import logging
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
    """Computes pieces of lanes until it is closed. `busy_s`: seconds that it computed."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.busy_s = 0.0
        self._lanes: list[Lane] = []
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="onnxpress-compute", daemon=True)
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

    def close(self) -> None:
        """End when the piece that is computed is done."""
        with self.changed:
            self._closing = True
            self.changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self.changed:
                while (piece := self._next()) is None and not self._closing:
                    self.changed.wait()
                if piece is None:
                    return
            started = time.perf_counter()
            try:
                piece()
            except Exception:  # a lane answers for its own failures; the thread outlives what it missed
                _LOG.exception("a piece of work failed")
            self.busy_s += time.perf_counter() - started
            del piece  # its rows and their pictures

    def _next(self) -> Piece | None:
        now = time.monotonic()
        heads = [(due, place) for place, lane in enumerate(self._lanes) if (due := lane.head(now)) is not None]
        for _, place in sorted(heads):
            if (piece := self._lanes[place].take(now)) is not None:
                return piece
        return None
