"""Keys and values of rows of different lengths in one array (rows, heads, positions, size), zeros at one side.

Knows no graph and no session.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.engine.buffers import Buffer, of_array

Past = dict[str, Buffer]
Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class PastPadding:
    """Zeros stand before a row's tokens, or, `right`, after them."""

    right: bool = False

    def mask(self, lengths: Sequence[int], count: int) -> NDArray[np.int64]:
        """1 where a row has a token, those `count` that it is given now included: int64 (rows, longest + count)."""
        places, each = np.arange(max(lengths) + count), np.asarray(lengths, np.int64)[:, None]
        inside = places < each + count if self.right else places >= max(lengths) - each
        return inside.astype(np.int64)

    def row(self, past: Past, row: int, length: int) -> Past:
        """One row's keys and values, without padding."""
        return {name: of_array(self.cut(array[row : row + 1], length)) for name, array in on_host(past).items()}

    def cut(self, array: Array, count: int) -> Array:
        """`count` positions, those with tokens."""
        first = 0 if self.right else array.shape[2] - count
        return np.ascontiguousarray(array[:, :, first : first + count])

    def padded(self, array: Array, count: int) -> Array:
        """With zeros, `count` positions. A copy."""
        rows, heads, length, size = array.shape
        grown = np.zeros((rows, heads, count, size), array.dtype)
        first = 0 if self.right else count - length
        grown[:, :, first : first + length] = array
        return grown

    def shorten(self, array: Array, row: int, before: int, length: int) -> None:
        """Forget, in place, all but the first `length` tokens of a row that has `before`."""
        if self.right:
            array[row, :, length:] = 0
            return
        total = array.shape[2]
        array[row, :, total - length :] = array[row, :, total - before : total - before + length].copy()
        array[row, :, : total - length] = 0


def on_host(past: Past) -> dict[str, Array]:
    """What the buffers hold; of those on a device, copies."""
    return {name: buffer.array if buffer.on_host else buffer.read() for name, buffer in past.items()}
