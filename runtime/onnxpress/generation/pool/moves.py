"""The order in which rows of a buffer can take each other's places, without a second buffer. Knows row numbers only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from onnxpress.errors import InputError

#: Stands for a row kept aside.
SPARE = -1


def moves(sources: Sequence[int]) -> list[tuple[int, int]]:
    """Copies (to, from) after which row i is what row sources[i] was.

    No row is copied twice, but that of each cycle one row goes aside, (SPARE, row), and is read back from SPARE once,
    before the next one goes there.
    """
    pending = {row: source for row, source in enumerate(sources) if row != source}
    readers = Counter(pending.values())
    ready = [row for row in pending if not readers[row]]  # rows that nobody has to read any more
    order = []
    while pending:
        if not ready:  # only cycles are left, each row read by one other
            row = next(iter(pending))
            reader = next(other for other, source in pending.items() if source == row)
            pending[reader] = SPARE
            order.append((SPARE, row))
            ready.append(row)
        row = ready.pop()
        source = pending.pop(row)
        order.append((row, source))
        readers[source] -= 1
        if source in pending and not readers[source]:
            ready.append(source)
    return order


def settled(slots: Sequence[int], start: int = 0) -> list[int]:
    """An order of items, which are in these slots now, for slots from `start` on: few have to move.

    Those that are in one of the slots already stay; the last ones of the others go where nobody stays.
    """
    stays: dict[int, int] = {}
    moving = []
    for item, slot in enumerate(slots):
        if start <= slot < start + len(slots) and slot not in stays:
            stays[slot] = item
        else:
            moving.append(item)
    return [stays[slot] if slot in stays else moving.pop() for slot in range(start, start + len(slots))]


def check_sources(sources: Sequence[int], rows: int) -> None:
    """Make sure that every source is one of so many rows.

    Raises:
        InputError: there is none, or one is not.
    """
    if not sources or not all(0 <= source < rows for source in sources):
        raise InputError(f"There are {rows} rows; {list(sources)} cannot be selected.")
