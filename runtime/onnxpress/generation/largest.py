"""The largest few of each long row, without sorting rows: the maxima of blocks say where they can be.

A block without one of the k largest maxima has none of the k largest numbers. Blocks are strided columns, so that their
maxima are an elementwise maximum of long contiguous runs, one pass over memory.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]
BLOCK = 64  # numbers of one block
SMALL = 4096  # shorter rows are partitioned whole


def best_of_rows(rows: Rows, count: int) -> tuple[NDArray[np.intp], Rows]:
    """Columns (rows, count) and numbers float32 (rows, count) of the `count` largest of each row, largest first.

    rows: float32 (rows, columns), columns of at least `count`. Of equal numbers any is taken.
    """
    width = rows.shape[1] // BLOCK
    if rows.shape[1] < SMALL or width < 2 * count:
        columns = _top(rows, count)
    else:
        even = width * BLOCK
        maxima = rows[:, :even].reshape(len(rows), BLOCK, width).max(axis=1)
        blocks = np.argpartition(maxima, width - count, axis=1)[:, width - count :]
        steps = np.arange(0, even, width)
        rest = np.broadcast_to(np.arange(even, rows.shape[1]), (len(rows), rows.shape[1] - even))
        inside = (blocks[:, :, None] + steps).reshape(len(rows), -1)
        candidates = np.concatenate([inside, rest], axis=1)
        found = _top(np.take_along_axis(rows, candidates, axis=1), count)
        columns = np.take_along_axis(candidates, found, axis=1)
    numbers = np.take_along_axis(rows, columns, axis=1)
    order = np.argsort(-numbers, axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1), np.take_along_axis(numbers, order, axis=1)


def _top(rows: Rows, count: int) -> NDArray[np.intp]:
    start = rows.shape[1] - count
    return np.argpartition(rows, start, axis=1)[:, start:]
