"""A memory of what was computed lately, bounded by the number of values."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Mapping
from typing import Any, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Recent(Generic[Key, Value]):
    """The last `capacity` values that were asked for, by key. Thread-safe, usable after a fork; a copy that is pickled
    remembers nothing."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._start()

    def _start(self) -> None:
        self._lock, self._pid = threading.Lock(), os.getpid()
        self._values: OrderedDict[Key, Value] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def recall(self, keys: Iterable[Key]) -> dict[Key, Value]:
        """The values of those keys that are remembered."""
        with self._guard():
            known = {key: self._values[key] for key in keys if key in self._values}
            for key in known:
                self._values.move_to_end(key)
        return known

    def remember(self, values: Mapping[Key, Value]) -> None:
        """Keep values; those that nobody asked for the longest are forgotten."""
        with self._guard():
            self._values.update(values)
            while len(self._values) > self._capacity:
                self._values.popitem(last=False)

    def _guard(self) -> threading.Lock:
        if self._pid != os.getpid():  # another thread of the parent may have held the lock
            self._start()
        return self._lock

    def __getstate__(self) -> dict[str, Any]:
        return {"capacity": self._capacity}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]
