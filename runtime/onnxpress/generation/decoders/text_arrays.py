"""What an encoder made of texts, and which rows are about which text. Knows no graph and no session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.engine.buffers import Buffer, allocate, of_array
from onnxpress.engine.providers import parse_device, provider_of
from onnxpress.errors import InputError
from onnxpress.generation.pool.moves import SPARE, moves

Array = NDArray[Any]


class Texts:
    """Arrays of axis 0 texts, on a device. The rows of a text stand side by side, as many for each text.

    Arguments:
        device: where they are read, as `engine.providers.parse_device` takes it: arrays are copied there once, buffers
            are there.
        by_row: whether the graph wants those of a text once for each of its rows, instead of once.
        shared: whether others read the buffers, too: where texts change places, these stay as they are.
    """

    def __init__(
        self,
        arrays: Mapping[str, Array | Buffer],
        device: object = None,
        *,
        by_row: bool = False,
        shared: bool = False,
    ) -> None:
        self._buffers = placed(arrays, device)
        self._device = device
        self._shared = shared
        self._by_row = by_row
        #: What `by_row` last made of them, and for how many rows.
        self._repeated: tuple[int, dict[str, Buffer]] = (0, {})

    @property
    def count(self) -> int:
        return next(iter(self._buffers.values())).shape[0]

    def buffers(self, rows: int) -> dict[str, Buffer]:
        """Those of all texts, as the graph wants them for so many rows."""
        if not self._by_row or rows == self.count:
            return dict(self._buffers)
        if self._repeated[0] != rows:
            each = rows // self.count
            self._repeated = (
                rows,
                {
                    name: _placed(np.repeat(buffer.read(), each, axis=0), self._device)
                    for name, buffer in self._buffers.items()
                },
            )
        return dict(self._repeated[1])

    def of_row(self, row: int, rows: int) -> dict[str, Buffer]:
        """Those of the text that one of so many rows is about: axis 0 is 1."""
        text = row // (rows // self.count)
        return {name: buffer.rows(text, text + 1) for name, buffer in self._buffers.items()}

    def select(self, sources: Sequence[int], rows: int) -> bool:
        """Follow rows, of which there were `rows`, to where they go; whether the buffers are others then.

        Raises:
            InputError: rows of a text would not stand side by side, or not as many of each.
        """
        each = rows // self.count
        groups = [(text, len(list(group))) for text, group in groupby(source // each for source in sources)]
        texts = [text for text, _ in groups]
        if len({size for _, size in groups}) != 1 or len(set(texts)) != len(texts):
            raise InputError(f"Rows {list(sources)} of {self.count} texts: not the same number of each, side by side.")
        if texts == list(range(self.count)):
            return False
        rearrange = _copied if self._shared else _rearranged
        self._buffers = {name: rearrange(buffer, texts) for name, buffer in self._buffers.items()}
        self._shared = False
        self._repeated = (0, {})
        return True


def placed(arrays: Mapping[str, Array | Buffer], device: object) -> dict[str, Buffer]:
    """Arrays as buffers where the device reads them; buffers are there."""
    return {name: array if isinstance(array, Buffer) else _placed(array, device) for name, array in arrays.items()}


def _placed(array: Array, device: object) -> Buffer:
    here = of_array(np.ascontiguousarray(array))
    if not provider_of(parse_device(device)).own_memory:
        return here
    there = allocate(array.shape, array.dtype, device)
    there.copy_from(here)
    return there


def _copied(buffer: Buffer, sources: Sequence[int]) -> Buffer:
    """The texts of a buffer in another order, in new memory."""
    copy = allocate((len(sources), *buffer.shape[1:]), buffer.dtype, buffer.device)
    for text, source in enumerate(sources):
        copy.at(text).copy_from(buffer.at(source))
    return copy


def _rearranged(buffer: Buffer, sources: Sequence[int]) -> Buffer:
    """The texts of a buffer in another order, in its own memory."""
    spare = buffer.rows(0, 0)
    for text, source in moves(sources):
        if text == SPARE:
            spare = allocate(buffer.shape[1:], buffer.dtype, buffer.device)
            spare.copy_from(buffer.at(source))
        else:
            buffer.at(text).copy_from(spare if source == SPARE else buffer.at(source))
    return buffer.rows(0, len(sources))
