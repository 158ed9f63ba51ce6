"""The shapes in which graphs take keys and values, and the one shape in which a decoder holds them.

A decoder holds (rows, heads, positions, size). Knows no graph and no session.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.engine.buffers import Buffer, of_array


@dataclass(frozen=True, slots=True)
class Form:
    """How a graph's array differs from the decoder's.

    `heads`: of a graph whose first axis is rows times heads, all heads of a row one after another; None: heads have an
    axis of their own. `turned`: whether positions are the last axis and the size is the one before.
    """

    heads: int | None = None
    turned: bool = False

    def given(self, buffer: Buffer) -> Buffer:
        """The decoder's keys or values as the graph takes them."""
        if self == USUAL:
            return buffer
        array = buffer.read()
        if self.turned:
            array = array.swapaxes(2, 3)
        if self.heads is not None:
            array = array.reshape(len(array) * self.heads, *array.shape[2:])
        return of_array(np.ascontiguousarray(array))

    def returned(self, buffer: Buffer) -> Buffer:
        """What the graph returned as the decoder holds it."""
        if self == USUAL:
            return buffer
        array: NDArray[Any] = buffer.read()
        if self.heads is not None:
            array = array.reshape(len(array) // self.heads, self.heads, *array.shape[1:])
        if self.turned:
            array = array.swapaxes(2, 3)
        return of_array(np.ascontiguousarray(array))


USUAL = Form()
