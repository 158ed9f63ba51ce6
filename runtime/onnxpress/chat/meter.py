"""Bounds what one rendering of a chat template costs: its steps, and the size of the values it makes.

A rendering runs within `metered`; `sandbox` inserts the calls of the meter into the template. A size is checked before
the value is made. This module does not know the template language.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

#: Characters of a text and members of a list (those of its members included) that a template may make.
MAX_SIZE = 2**24

#: Processor time of one rendering. Templates of published models take milliseconds.
MAX_SECONDS = 5.0

_MAX_BITS = 4096

#: Methods and filters whose result may be much larger than what they are given.
GROWING = frozenset(
    (
        "batch", "center", "expandtabs", "indent", "ljust", "replace", "rjust", "slice", "to_bytes",
        "tojson", "translate", "truncate", "wordwrap", "zfill",
    )
)  # fmt: skip


class Exceeded(Exception):  # noqa: N818
    """The template did more work than a chat template may."""


class Meter:
    """The work of one rendering. `weights`: id of a list -> itself and how many members it has, all levels counted."""

    def __init__(self, seconds: float) -> None:
        self.end = time.thread_time() + seconds
        self.seconds = seconds
        self.weights: dict[int, tuple[Any, int]] = {}

    def tick(self) -> bool:
        """Count one step. Returns True, so that a condition can call it."""
        if time.thread_time() > self.end:
            raise Exceeded(f"it runs for more than {self.seconds:g} s")
        return True

    def weigh(self, value: Any) -> int:
        """Count the members of a list, tuple or dictionary at all levels; 1 for any other value."""
        if not isinstance(value, (list, tuple, dict)):
            return 1
        known = self.weights.get(id(value))
        if known is None:
            members = value.values() if isinstance(value, dict) else value
            known = value, check_size(1 + sum(map(self.weigh, members)))
            self.weights[id(value)] = known
            check_size(len(self.weights))
        return known[1]


_meter: ContextVar[Meter] = ContextVar("_meter")


@contextmanager
def metered() -> Iterator[None]:
    """Bound what the rendering in this block costs."""
    token = _meter.set(Meter(MAX_SECONDS))
    try:
        yield
    finally:
        _meter.reset(token)


#: jinja2 applies filters to constants while it compiles, outside of any rendering.
_COMPILING = Meter(float("inf"))


def meter() -> Meter:
    """The meter of this rendering."""
    return _meter.get(_COMPILING)


def check_size(size: int) -> int:
    """Return the size; raise Exceeded where a template may not make a value that large."""
    if size > MAX_SIZE:
        raise Exceeded(f"it makes something of {size} characters or members; {MAX_SIZE} are allowed")
    return size


def _size(value: Any) -> int:
    if isinstance(value, int):
        return abs(value)
    return len(value) if isinstance(value, (str, bytes, list, tuple, dict)) else 1


def check_growth(arguments: Iterable[Any]) -> None:
    """Check a call whose result is at most as large as the product of its two largest arguments, up to a factor."""
    *_, second, first = sorted((1, 1, *map(_size, arguments)))
    check_size(first * second // 16)
    check_size(first)


def check_join(separator: Any, members: list[Any]) -> None:
    """Check the size of what `join` makes of these members: texts, numbers or lists."""
    check_size(
        len(members) * (_size(separator) + 1) + sum(_size(member) for member in members if not isinstance(member, int))
    )


def _guard_sum(left: Any, right: Any) -> None:
    if not isinstance(left, (int, float)):
        check_size(_size(left) + _size(right))


def _guard_product(left: Any, right: Any) -> None:
    if isinstance(left, int) and isinstance(right, int):
        check_size(MAX_SIZE * (left.bit_length() + right.bit_length() > _MAX_BITS) + 1)
    elif not isinstance(left, float) and not isinstance(right, float):
        weigh = meter().weigh
        check_size(max(_size(left), weigh(left)) * max(_size(right), weigh(right)))


def _guard_power(left: Any, right: Any) -> None:
    if isinstance(left, int) and isinstance(right, int):
        check_size(MAX_SIZE * (left.bit_length() * right > _MAX_BITS) + 1)


def _guard_remainder(left: Any, right: Any) -> None:
    if isinstance(left, (str, bytes)):
        check_format(left, right if isinstance(right, tuple) else (right,))


BINARY_GUARDS: Mapping[str, Callable[[Any, Any], None]] = {
    "+": _guard_sum,
    "*": _guard_product,
    "**": _guard_power,
    "%": _guard_remainder,
}


def check_format(template: str | bytes, values: Iterable[Any]) -> None:
    """Check the size of what `%` or `format` makes. Numbers count as widths only where the template says so."""
    text = template if isinstance(template, str) else template.decode("latin-1")
    widths = [min(int(number[:9]), MAX_SIZE + 1) for number in re.findall(r"[0-9]+", text)]
    taken = "*" in text or re.search(r"\{[^}]*\{", text)
    check_growth((text, *widths, *(value for value in values if taken or not isinstance(value, int))))
