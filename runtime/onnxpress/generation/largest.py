"""The largest few of long rows, and sums of their exponentials, in few passes over memory and without sorting rows.

The maxima of blocks say where the largest can be: a block without one of the k largest maxima has none of the k largest
numbers. Blocks are strided columns, so their maxima are an elementwise maximum of long contiguous runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]
Places = NDArray[np.intp]
LONG = 4096  # shorter rows are partitioned whole
WIDEST = 128  # numbers of a block


@dataclass(frozen=True, slots=True)
class Blocks:
    """Rows float32 (rows, columns) and their blocks' maxima, float32 (rows, width + 1).

    Block b has `size` columns: b, b + width, b + 2 * width, ...; the last one has those that are left over.
    """

    rows: Rows
    maxima: Rows
    width: int
    size: int

    @property
    def highest(self) -> Rows:
        """float32 (rows): the largest number of each row."""
        return np.asarray(self.maxima.max(axis=1))


def blocks_of(rows: Rows, count: int) -> Blocks:
    """Blocks that suit a search for `count` numbers: fewer maxima cost what larger blocks do."""
    columns = rows.shape[1]
    size = min(WIDEST, isqrt(columns // count)) if columns >= LONG else 1
    if size < 2:
        return Blocks(rows, rows, columns, 1)
    width = columns // size
    maxima = np.empty((len(rows), width + 1), np.float32)
    rows[:, : width * size].reshape(len(rows), size, width).max(axis=1, out=maxima[:, :width])
    rows[:, width * size :].max(axis=1, initial=-np.inf, out=maxima[:, width])
    return Blocks(rows, maxima, width, size)


def largest(blocks: Blocks, count: int, together: int = 1, add: Rows | None = None) -> tuple[Places, Places, Rows]:
    """The `count` largest of every `together` rows side by side, largest first; of equal numbers any.

    `add`: float32 (rows), added to all of a row. Returns rows within their group, columns, and numbers float32, all
    (groups, count).
    """
    rows, size = blocks.rows, blocks.size
    groups = len(rows) // together
    each = np.arange(groups)[:, None]
    maxima = blocks.maxima if add is None else blocks.maxima + add[:, None]
    wide = maxima.shape[1]
    maxima = maxima.reshape(groups, together * wide)
    chosen = _top(maxima, min(count, maxima.shape[1]))
    inside, columns = np.divmod(chosen, wide)
    numbers = maxima[each, chosen]
    if size > 1:
        # Of the blocks chosen every number; one that the last block lacks is minus infinity.
        steps = np.arange(size)
        last = (columns == blocks.width)[:, :, None]
        columns = np.where(last, blocks.width * size + steps, columns[:, :, None] + steps * blocks.width)
        beyond = columns >= rows.shape[1]
        columns[beyond] = 0
        owners = inside + each * together
        candidates = rows.take(columns + owners[:, :, None] * rows.shape[1])
        if add is not None:
            candidates += add[owners][:, :, None]
        candidates[beyond] = -np.inf
        candidates, columns = candidates.reshape(groups, -1), columns.reshape(groups, -1)
        best = _top(candidates, count)
        numbers, columns, inside = candidates[each, best], columns[each, best], inside[each, best // size]
    order = np.argsort(-numbers, axis=1, kind="stable")
    return inside[each, order], columns[each, order], numbers[each, order]


def best_places(numbers: Rows, count: int) -> Places:
    """Places in float32 (n) of the `count` largest, and of what equals the last of them, in order of place."""
    if count >= len(numbers):
        return np.arange(len(numbers))
    maxima = blocks_of(numbers[None], count).maxima[0]
    # At least `count` numbers are as large as the last of so many maxima.
    floor = np.partition(maxima, -count)[-count] if count <= len(maxima) else -np.inf
    places = np.flatnonzero(numbers >= floor)
    few = numbers[places]
    return np.asarray(places[few >= np.partition(few, -count)[-count]])


def log_sums(rows: Rows, highest: Rows) -> Rows:
    """float32 (rows): the logarithm of each row's sum of exponentials; minus infinity alone gives 0."""
    highest = np.where(highest > -np.inf, highest, np.float32(0))
    sums = np.empty(len(rows), np.float32)
    # One row at a time stays in the processor's cache through all three passes.
    scratch = np.empty(rows.shape[1], np.float32)
    for place, row in enumerate(rows):
        np.subtract(row, highest[place], out=scratch)
        np.exp(scratch, out=scratch)
        sums[place] = scratch.sum()
    return np.asarray(highest + np.log(np.maximum(sums, np.finfo(np.float32).tiny)))


def _top(rows: Rows, count: int) -> Places:
    start = rows.shape[1] - count
    return np.argpartition(rows, start, axis=1)[:, start:]
