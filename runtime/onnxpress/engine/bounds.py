"""Which whole numbers an input may hold: the rows of the table that it is read from.

Kernels differ beyond the table: one refuses, one counts negative numbers from its end, one reads what it finds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from onnxpress.errors import InputError

if TYPE_CHECKING:  # numpy too: `import onnxpress` does without it
    from numpy.typing import NDArray


def check_bounds(inputs: Mapping[str, NDArray[Any]], rows: Mapping[str, int]) -> None:
    """Refuse inputs that hold a number without a row.

    Args:
        inputs: of whole numbers, of any shape.
        rows: input -> how many rows its table has, where that is known.

    Raises:
        InputError: there is one; the message names it and its place.
    """
    for name, count in rows.items():
        if name in inputs:
            check_rows(name, inputs[name], count)


def check_rows(name: str, array: NDArray[Any], count: int) -> None:
    """Refuse an array of whole numbers of which one is no row of a table of `count` rows.

    Raises:
        InputError: the message names it and its place.
    """
    if not array.size or (array.min() >= 0 and array.max() < count):
        return
    first = tuple(int(axis[0]) for axis in ((array < 0) | (array >= count)).nonzero())
    raise InputError(
        f"{name} holds {array[first]} at {list(first)}: the model's table of tokens has {count} rows, of the ids from "
        f"0 to {count - 1}."
    )
