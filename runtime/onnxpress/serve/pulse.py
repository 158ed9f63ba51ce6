"""How far the event loop is behind: work that waits there waits in no queue that could be counted.

Where models are tiny or the machine is starved, parsing and encoding are what costs, and requests pile up before any of
them is admitted. A request goes through the loop several times, and each time waits for all others that do.
"""

from __future__ import annotations

import asyncio
import time

from onnxpress.serve.errors import Overloaded

#: How often it is looked, and how much the latest look counts.
_EVERY_S, _WEIGHT = 0.05, 0.3

#: How often a request goes through the loop.
_TURNS = 8

#: What a busy machine makes of nothing.
_NOISE_S = 0.5


class Pulse:
    """Looks while `watch` runs. `behind_s`: how late the loop comes to what is due, smoothed, seconds."""

    def __init__(self) -> None:
        self.behind_s = 0.0

    async def watch(self) -> None:
        """Look until cancelled."""
        while True:
            due = time.monotonic() + _EVERY_S
            await asyncio.sleep(_EVERY_S)
            self.behind_s += _WEIGHT * (max(0.0, time.monotonic() - due) - self.behind_s)

    def excess_s(self, most_s: float) -> float:
        """What a request would spend in the loop alone, if that is more than so many seconds; otherwise 0."""
        expected_s = self.behind_s * _TURNS
        return expected_s if expected_s > max(most_s, _NOISE_S) else 0.0

    def check(self, most_s: float) -> None:
        """Raises:
        Overloaded: a request would spend more than so many seconds in the loop alone.
        """
        if expected_s := self.excess_s(most_s):
            raise Overloaded(
                f"More requests come than can be read: ask again in {expected_s:.1f} s.", retry_after_s=expected_s
            )
