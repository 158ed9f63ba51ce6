"""Buffers on a device: parts share its memory, and copies go there, back and across."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest

from onnxpress.engine.buffers import allocate, of_array
from onnxpress.engine.device_memory import COPY_GRAPH
from onnxpress.errors import DeviceUnavailable, OutOfMemory
from tests.fixtures.devices import SHADOW, add_shadow


@pytest.fixture(autouse=True)
def _shadow(monkeypatch: pytest.MonkeyPatch) -> None:
    add_shadow(monkeypatch)


def test_the_graph_that_copies_is_what_it_says() -> None:
    text = '<ir_version: 10, opset_import: ["" : 20]> g (uint8[n] x) => (uint8[n] y) { y = Identity(x) }'
    assert onnx.load_from_string(COPY_GRAPH) == onnx.parser.parse_model(text)


@pytest.mark.parametrize("dtype", ["float32", "float16", "int64", "bool"])
def test_what_is_written_is_read(dtype: str) -> None:
    buffer = allocate((3, 2, 5), dtype, SHADOW)
    array = np.random.default_rng(0).normal(size=(3, 2, 5)).astype(dtype)
    buffer.write(array)
    np.testing.assert_array_equal(buffer.read(), array)
    np.testing.assert_array_equal(buffer.rows(1, 3).at(1).rows(0, 1).read(), array[2, :1])
    assert (buffer.device, buffer.shape, buffer.dtype.name, buffer.nbytes) == (
        SHADOW,
        (3, 2, 5),
        dtype,
        array.nbytes,
    )


def test_rows_are_copied_on_the_device_and_between_places() -> None:
    array = np.arange(24, dtype=np.float32).reshape(4, 6)
    buffer, other, host = (
        allocate((4, 6), np.float32, SHADOW),
        allocate((4, 6), np.float32, "shadow:0"),
        allocate((4, 6), np.float32),
    )
    buffer.write(array)
    buffer.at(0).copy_from(buffer.at(3))
    other.copy_from(buffer)
    host.copy_from(other)
    array[0] = array[3]
    np.testing.assert_array_equal(host.array, array)
    host.array[1] = -1
    buffer.rows(2, 4).copy_from(host.rows(0, 2))
    array[2], array[3] = array[0], -1
    np.testing.assert_array_equal(buffer.read(), array)


def test_a_number_has_no_axes() -> None:
    buffer = allocate((), np.int64, SHADOW)
    buffer.write(np.array(7))
    assert (buffer.read().shape, int(buffer.read())) == ((), 7)


def test_nothing_is_copied_where_there_is_nothing() -> None:
    buffer = allocate((2, 0), np.float32, SHADOW)
    buffer.write(np.zeros((2, 0), np.float32))
    assert buffer.read().shape == (2, 0)
    buffer.release()


def test_other_shapes_and_dtypes_are_refused() -> None:
    buffer = allocate((2, 3), np.float32, SHADOW)
    for array in (np.zeros((3, 2), np.float32), np.zeros((2, 3))):
        with pytest.raises(ValueError, match="cannot be copied"):
            buffer.write(array)
        with pytest.raises(ValueError, match="cannot be copied"):
            of_array(array).copy_from(buffer)


def test_too_much_memory_and_no_such_device() -> None:
    with pytest.raises(OutOfMemory, match="shadow:1 does not give so much"):
        allocate((2**20, 2**30), np.float32, SHADOW)
    with pytest.raises(DeviceUnavailable, match="cuda:0"):
        allocate((2, 2), np.float32, "cuda")
