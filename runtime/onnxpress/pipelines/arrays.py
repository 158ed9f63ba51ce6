"""Arrays of any library as numpy arrays of a graph's dtype, without importing that library; ragged rows are padded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.errors import InputError


def as_array(name: str, value: Any, dtype: str = "int64") -> NDArray[Any]:
    """An array, a tensor, or lists of numbers as an array of `dtype`, which is of the same kind, integer or float.

    Raises:
        InputError: no numbers, numbers of another kind, or ones that the dtype does not hold.
    """
    array = _read(name, value)
    wanted = np.dtype(dtype)
    if array.dtype == wanted:
        return array
    same = array.dtype.kind in ("iub" if wanted.kind in "iu" else "f")
    if array.size and not same:
        raise InputError(f"{name} holds {array.dtype} and must hold {wanted.name}.")
    cast = array.astype(wanted)
    if wanted.kind in "iu" and array.dtype.kind in "iu" and not np.array_equal(cast, array):
        raise InputError(f"{name} holds numbers that {wanted.name} does not.")
    return cast


def as_mask(name: str, value: Any) -> NDArray[Any]:
    """A mask (rows, length), or of one row alone: whole numbers, or as floats, which numpy.ones makes.

    Raises:
        InputError: no numbers, or other ones than 0 and 1.
    """
    array = _read(name, value)
    if array.dtype.kind == "f" and np.isin(array, (0, 1)).all():
        array = array.astype(np.int64)
    array = as_array(name, array)
    return array[None] if array.ndim == 1 else array


def _read(name: str, value: Any) -> NDArray[Any]:
    try:
        array = np.asarray(value)
    except Exception as error:  # tensors of other libraries raise what they like
        if not hasattr(value, "__dlpack__"):
            raise InputError(f"{name}: not an array of numbers ({error}). Rows must be of one length.") from None
        try:
            array = np.from_dlpack(value)
        except Exception:
            raise InputError(
                f"{name}: this {type(value).__name__} cannot be read here ({error}). Pass tensor.detach().cpu()."
            ) from None
    if array.dtype.kind not in "iubf":
        raise InputError(f"{name}: not an array of numbers, but of {array.dtype}.")
    return array


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of numbers of different lengths as one array.

    `array`: int64 (rows, longest). `lengths`: how many of each row are its own.
    """

    array: NDArray[np.int64]
    lengths: tuple[int, ...]

    def mask(self, side: str) -> NDArray[np.int64]:
        """1 where a row has a number of its own: int64 (rows, longest)."""
        places = np.arange(self.array.shape[1])[None]
        lengths = np.array(self.lengths)[:, None]
        inside = places < lengths if side == "right" else places >= self.array.shape[1] - lengths
        return inside.astype(np.int64)


def as_rows(name: str, value: Any, fill: int, side: str) -> Rows:
    """Ids as rows: an array (rows, length), or lists of different lengths, filled up; one row alone is a row.

    Raises:
        InputError: no whole numbers, or of another shape.
    """
    if _is_ragged(value):
        lengths = tuple(len(row) for row in value)
        array = np.full((len(value), max(lengths)), fill, np.int64)
        for target, row in zip(array, value, strict=True):
            place = slice(0, len(row)) if side == "right" else slice(len(target) - len(row), None)
            target[place] = as_array(name, row)
        return Rows(array, lengths)
    array = as_array(name, value)
    if array.ndim == 1:
        array = array[None]
    if array.ndim != 2:
        raise InputError(f"{name} must be (batch, tokens), not of {array.ndim} axes.")
    return Rows(array, (array.shape[1],) * len(array))


def _is_ragged(value: Any) -> bool:
    """Whether it is a list of rows that are not all of one length."""
    if not isinstance(value, (list, tuple)) or not value or not all(hasattr(row, "__len__") for row in value):
        return False
    if any(isinstance(row, str) for row in value):
        return False
    return len({len(row) for row in value}) > 1


def joined(parts: Sequence[NDArray[Any]], side: str = "right") -> NDArray[Any]:
    """Arrays (1, length, ...) of different lengths as one (rows, longest, ...), filled up with zeros."""
    if len({part.shape[1:] for part in parts}) == 1:
        return np.concatenate(parts)
    longest = max(part.shape[1] for part in parts)
    whole = np.zeros((len(parts), longest, *parts[0].shape[2:]), parts[0].dtype)
    for target, part in zip(whole, parts, strict=True):
        count = part.shape[1]
        target[slice(0, count) if side == "right" else slice(longest - count, None)] = part[0]
    return whole
