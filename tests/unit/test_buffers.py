"""Buffers: memory that is resident only where it was written to, and that goes back."""

from __future__ import annotations

import multiprocessing
import sys

import numpy as np
import pytest

from onnxpress.engine.buffers import Buffer, allocate
from onnxpress.engine.host_memory import SMALL_PAGES_FROM_BYTES
from onnxpress.errors import EngineError, OutOfMemory
from tests.fixtures.pages import held_bytes, held_bytes_of, only_linux
from tests.fixtures.processes import HANG_S

MEGABYTE = 2**20


def write(buffer: Buffer, rows: int, tokens: int) -> None:
    """The first tokens of each row and head, as a graph does that appends to a cache."""
    buffer.array[:rows, :, :tokens] = 1


@only_linux
def test_only_what_is_written_is_resident() -> None:
    cache = allocate((16, 2, 32_768, 64), np.float32)  # 268 MB
    assert held_bytes_of(cache.array) == 0
    write(cache, 16, 500)
    assert cache.nbytes == 256 * MEGABYTE
    assert 4 * 10**6 < held_bytes_of(cache.array) < 4.3 * 10**6  # 16 x 2 x 500 x 64 x 4 bytes and the ends of pages


@only_linux
def test_the_memory_of_a_row_goes_back_and_the_others_stay() -> None:
    cache = allocate((16, 4 * MEGABYTE), np.uint8)
    cache.array[:] = 7
    assert held_bytes_of(cache.array) == 64 * MEGABYTE
    cache.rows(2, 4).release()
    assert held_bytes_of(cache.array) == 56 * MEGABYTE
    assert (cache.array[:2] == 7).all()
    assert (cache.array[4:] == 7).all()
    cache.at(2).array[:] = 9  # and is there again
    assert (cache.array[2] == 9).all()


@only_linux
def test_the_memory_goes_back_with_the_last_array() -> None:
    array = allocate((80, MEGABYTE), np.uint8).rows(1, 79).array
    array[:] = 1
    address, nbytes = array.ctypes.data, array.nbytes
    assert held_bytes(address, nbytes) == nbytes == 78 * MEGABYTE
    del array
    assert held_bytes(address, nbytes) < MEGABYTE  # whatever else may lie there now


@only_linux
def test_only_whole_pages_are_given_back() -> None:
    buffer = allocate((SMALL_PAGES_FROM_BYTES // 1000 + 1, 1000), np.uint8)
    buffer.array[:] = 5
    buffer.rows(3, 6).release()  # 3,000 bytes: no page lies within
    assert (buffer.array == 5).all()
    buffer.rows(3, 103).release()
    assert (buffer.array[:3] == 5).all()
    assert (buffer.array[103:] == 5).all()


def test_parts_share_memory() -> None:
    for count in (3, SMALL_PAGES_FROM_BYTES // 32):
        buffer = allocate((4, count), np.int64)
        buffer.array[:] = 0
        buffer.rows(1, 3).at(1).array[:] = 8
        assert buffer.array[:, -1].tolist() == [0, 0, 8, 0]
        part = buffer.rows(1, 2)
        assert (part.shape, part.dtype, part.nbytes) == ((1, count), np.int64, 8 * count)
        assert part.array.flags.c_contiguous
        part.release()  # undefined, but no harm to the others
        assert buffer.array[2, -1] == 8


@pytest.mark.parametrize("shape", [(), (0, 4), (3, 0), (2, 3)])
@pytest.mark.parametrize("dtype", ["float32", "float16", "int64", "bool"])
def test_any_shape_and_dtype(shape: tuple[int, ...], dtype: str) -> None:
    buffer = allocate(shape, dtype)
    buffer.array[...] = 1
    assert (buffer.shape, buffer.dtype.name) == (shape, dtype)
    assert (buffer.array == 1).all()


def test_too_much_is_an_error_of_the_engine() -> None:
    with pytest.raises(OutOfMemory, match="GB") as caught:
        allocate((2**20, 2**30), np.float32)
    assert isinstance(caught.value, EngineError | MemoryError)
    with pytest.raises(OutOfMemory, match="GB"):
        allocate((2**31, 2**31), np.float32)


def _write_in_child(buffer: Buffer, done: multiprocessing.Queue[int]) -> None:
    buffer.array[0] = 2
    done.put(int(buffer.array[0, 0]))


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_a_forked_child_writes_to_its_own_copy() -> None:
    buffer = allocate((2, SMALL_PAGES_FROM_BYTES // 2), np.uint8)
    buffer.array[:] = 1
    context = multiprocessing.get_context("fork")
    done = context.Queue()
    child = context.Process(target=_write_in_child, args=(buffer, done))
    child.start()
    assert done.get(timeout=HANG_S) == 2
    child.join()
    assert (buffer.array == 1).all()


def test_memory_that_is_in_use_gets_huge_pages_and_keeps_what_it_holds() -> None:
    buffer = allocate((SMALL_PAGES_FROM_BYTES // 1000 + 1, 1000), np.uint8)
    buffer.array[5:9] = 7
    for some in (buffer, allocate((3, 4), np.uint8)):
        some.rows(1, 2).gather()
    assert (buffer.array[5:9] == 7).all() and not buffer.array[9:].any()
