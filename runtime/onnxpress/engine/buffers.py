"""Memory that graphs read and write, and that becomes resident as it is written to.

numpy asks the kernel for huge pages from 4 MiB on: a cache that is reserved for 32,768 tokens and holds 500 is then
resident as a whole. A buffer takes the system's small pages instead, and can give back those that it no longer needs.
Knows no graph and no session.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from onnxpress.errors import OutOfMemory

#: numpy asks for huge pages from this size on (numpy/_core/src/multiarray/alloc.c); below it, its memory serves.
HUGE_PAGES_FROM_BYTES = 4 * 2**20

#: Only Linux makes huge pages of memory unasked, and lets a process refuse them.
_REFUSES_HUGE_PAGES = hasattr(mmap, "MADV_NOHUGEPAGE")


class Buffer:
    """An array of fixed shape and dtype on the host, or a part of one that shares its memory.

    The memory goes back to the system with the last buffer and the last array that share it.

    Attributes:
        shape: of the array.
        dtype: numpy's, of the array.
        array: the memory as a numpy array, contiguous; what is written to it is written to the buffer.
    """

    __slots__ = ("_pages", "array")

    def __init__(self, array: NDArray[Any], pages: mmap.mmap | None = None) -> None:
        self.array = array
        self._pages = pages

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.array.dtype

    @property
    def nbytes(self) -> int:
        """Bytes that the array takes where all of it is resident."""
        return self.array.nbytes

    def at(self, index: int) -> Buffer:
        """The part at an index of the first axis, without that axis."""
        return Buffer(self.array[index], self._pages)

    def rows(self, start: int, stop: int) -> Buffer:
        """The part from `start` to `stop` of the first axis."""
        return Buffer(self.array[start:stop], self._pages)

    def release(self) -> None:
        """Give this part's memory back to the system; what it holds afterwards is undefined.

        Only whole pages go back, and only those of a buffer that is large enough to have pages of its own.
        """
        if self._pages is None or not self.nbytes:
            return
        start = _address(self.array) - _address(np.frombuffer(self._pages, np.uint8))
        first = math.ceil(start / mmap.PAGESIZE) * mmap.PAGESIZE
        last = (start + self.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE
        if last > first:
            self._pages.madvise(mmap.MADV_DONTNEED, first, last - first)


def allocate(shape: Sequence[int], dtype: DTypeLike) -> Buffer:
    """Memory for an array on the host. What it holds is undefined.

    Raises:
        OutOfMemory: the system does not give so much.
    """
    numbers, kind = tuple(shape), np.dtype(dtype)
    size_bytes = math.prod(numbers) * kind.itemsize
    try:
        if size_bytes < HUGE_PAGES_FROM_BYTES or not _REFUSES_HUGE_PAGES:
            return Buffer(np.empty(numbers, kind))
        # Private: a forked child gets a copy of its own, as of any array.
        pages = mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        with contextlib.suppress(OSError):  # a kernel that knows no huge pages
            pages.madvise(mmap.MADV_NOHUGEPAGE)
    except (MemoryError, OSError, OverflowError, ValueError) as error:
        raise OutOfMemory(
            f"An array {numbers} of {kind.name} takes {size_bytes / 1e9:.1f} GB; the system does not give so much "
            f"({os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error})."
        ) from None
    return Buffer(np.frombuffer(pages, kind).reshape(numbers), pages)


def _address(array: NDArray[Any]) -> int:
    return int(array.__array_interface__["data"][0])
