"""What an encoder made of texts, and which rows are about which text. Knows no graph and no session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.errors import InputError
from onnxpress.generation.pool.moves import SPARE, moves

Array = NDArray[Any]


class Texts:
    """Arrays of axis 0 texts, contiguous. The rows of a text stand side by side, as many for each text."""

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        self._arrays = dict(arrays)

    @property
    def count(self) -> int:
        return len(next(iter(self._arrays.values())))

    def arrays(self) -> dict[str, Array]:
        """Those of all texts."""
        return dict(self._arrays)

    def of_row(self, row: int, rows: int) -> dict[str, Array]:
        """Those of the text that one of so many rows is about: axis 0 is 1."""
        text = row // (rows // self.count)
        return {name: array[text : text + 1] for name, array in self._arrays.items()}

    def select(self, sources: Sequence[int], rows: int) -> bool:
        """Follow rows, of which there were `rows`, to where they go; whether the arrays are others then.

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
        for name, array in self._arrays.items():
            self._arrays[name] = _rearranged(array, texts)
        return True


def _rearranged(array: Array, sources: Sequence[int]) -> Array:
    """The rows of an array in another order, in its own memory."""
    spare = array[:0]
    for row, source in moves(sources):
        if row == SPARE:
            spare = array[source].copy()
        else:
            np.copyto(array[row], spare if source == SPARE else array[source])
    return array[: len(sources)]
