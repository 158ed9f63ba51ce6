"""Arrays of any library become numpy's, with the numbers that they have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from onnxpress.errors import InputError
from onnxpress.pipelines.arrays import as_array, as_rows, joined


class _Tensor:
    """As a tensor of another library that numpy can only read by dlpack."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("use dlpack")

    def __dlpack__(self, **options: Any) -> Any:
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self._array.__dlpack_device__()


@pytest.mark.parametrize("value", [[1, 2], (1, 2), np.array([1, 2], np.int32), _Tensor(np.array([1, 2], np.int32))])
def test_whole_numbers_of_any_kind(value: Any) -> None:
    array = as_array("ids", value)
    assert (array.dtype, array.tolist()) == (np.int64, [1, 2])


def test_what_does_not_fit_is_told() -> None:
    assert as_array("x", [1.5], "float32").dtype == np.float32
    with pytest.raises(InputError, match="x holds numbers that int32 does not"):
        as_array("x", [2**40], "int32")
    with pytest.raises(InputError, match="x holds int64 and must hold float32"):
        as_array("x", [1], "float32")
    with pytest.raises(InputError, match=r"Rows must be of one length"):
        as_array("x", [[1, 2], [3]])
    with pytest.raises(InputError, match=r"tensor.detach"):
        as_array("x", _Tensor("no array"))


@pytest.mark.parametrize(
    ("side", "ids", "mask"),
    [("right", [[1, 2], [3, 9]], [[1, 1], [1, 0]]), ("left", [[1, 2], [9, 3]], [[1, 1], [0, 1]])],
)
def test_rows_of_different_lengths_are_filled_up(side: str, ids: Any, mask: Any) -> None:
    rows = as_rows("ids", [[1, 2], [3]], 9, side)
    assert (rows.array.tolist(), rows.lengths, rows.mask(side).tolist()) == (ids, (2, 1), mask)
    assert as_rows("ids", [1, 2], 9, side).array.tolist() == [[1, 2]]


def test_arrays_of_different_lengths_are_joined() -> None:
    parts = [np.ones((1, 2, 3)), np.ones((1, 1, 3))]
    assert joined(parts)[1, :, 0].tolist() == [1, 0]
    assert joined(parts, "left")[1, :, 0].tolist() == [0, 1]
