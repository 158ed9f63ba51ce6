"""When ONNX Runtime gives back the memory that a large run took."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

#: Elements of the largest input, such as tokens, of runs that are all alike small; and what a far larger one has more.
SMALL_RUN = 1024
FAR = 2

#: Large runs of one thread and small ones of another that follow each other within so many seconds go on doing so.
BESIDE_S = 60.0


class HeldMemory:
    """How large the runs of a session were whose memory ONNX Runtime holds. For several threads.

    Giving back takes long: pages go one by one, no other run gets memory meanwhile, and the next large run takes them
    anew. So the memory of large runs stays where other threads have small ones, as a server has for its clients.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        #: The size of the largest run since memory was given back.
        self._size = SMALL_RUN
        #: The thread and the time of the latest small run.
        self._small = 0, float("-inf")
        #: Until when nothing is given back.
        self._stays_until_s = float("-inf")

    def gives_back(self, elements: int) -> bool:
        """Whether memory is given back after a run that begins now: one that is far larger than those before, or far
        smaller than one whose memory is still held. Runs of one size, large as they may be, keep theirs.

        Args:
            elements: those of its largest input.
        """
        now, size, held = self._clock(), max(SMALL_RUN, elements), self._size
        thread, small_s = self._small
        if size <= FAR * SMALL_RUN:
            self._small = threading.get_ident(), now
        elif thread != threading.get_ident() and now < small_s + BESIDE_S:
            self._stays_until_s = now + BESIDE_S
        if (FAR * size >= held and size <= FAR * held) or now < self._stays_until_s:
            self._size = max(held, size)
            return False
        self._size = size
        return True
