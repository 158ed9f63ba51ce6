"""Decoders that are done, kept with their buffers for calls to come: what a device has captured is bound to them.

For several threads; holds a few. Knows no graph.
"""

from __future__ import annotations

import threading
from typing import Generic, Protocol, TypeVar

#: Decoders that are kept; captured runs of others are of no use any more, and stay in ONNX Runtime's memory.
MOST = 4


class Reusable(Protocol):
    """A decoder that can begin anew."""

    def begin_anew(self, rows: int, tokens: int) -> bool:
        """Hold so many empty rows with room for so many tokens; whether there is room."""


D = TypeVar("D", bound=Reusable)


class Idle(Generic[D]):
    """Decoders nobody uses."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._decoders: list[D] = []

    def __reduce__(self) -> tuple[type[Idle[D]], tuple[()]]:
        """A copy in another process has none: their memory is this one's."""
        return type(self), ()

    def take(self, rows: int, tokens: int) -> D | None:
        """A decoder with so many empty rows; None: none has room."""
        with self._lock:
            for place in reversed(range(len(self._decoders))):
                if self._decoders[place].begin_anew(rows, tokens):
                    return self._decoders.pop(place)
        return None

    def put(self, decoder: D) -> None:
        """Keep a decoder, and forget the one that was not of use for the longest time where there are too many."""
        with self._lock:
            self._decoders.append(decoder)
            del self._decoders[:-MOST]

    def clear(self) -> None:
        """Free the memory."""
        with self._lock:
            self._decoders = []
