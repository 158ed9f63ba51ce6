"""Memory on the host: where it is large, resident as it is written to, and of which parts can be given back.

numpy asks the kernel for huge pages from 4 MiB on: memory that is reserved for 32,768 tokens and holds 500 is then
resident as a whole. Small pages are resident one by one, but cost time: attention over 1,000 tokens takes 1.1 times as
long, over 4,000 up to 1.5 times, and the first write to a page twice as long (docs/decisions/0016-buffers.md, 0101). So
small memory stays numpy's, and large memory gets huge pages once most of it is written.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.engine.providers import CPU
from onnxpress.errors import OutOfMemory

#: From this size on, memory is taken in small pages: what a smaller buffer reserves in vain is no more than this.
SMALL_PAGES_FROM_BYTES = 64 * 2**20

#: Only Linux makes huge pages of memory unasked, and lets a process refuse them.
_REFUSES_HUGE_PAGES = hasattr(mmap, "MADV_NOHUGEPAGE")
#: Linux 6.1 and later: pages that are there become huge at once. Python's module has no name for it.
_COLLAPSE = 25


class HostMemory:
    """Bytes on the host. Implements `buffers.Memory`.

    Args:
        what: they are for, in the words of a message.

    Raises:
        OutOfMemory: the system does not give so much.
    """

    device = CPU.family

    def __init__(self, size_bytes: int, what: str) -> None:
        self._pages: mmap.mmap | None = None
        try:
            if size_bytes < SMALL_PAGES_FROM_BYTES or not _REFUSES_HUGE_PAGES:
                self._bytes = np.empty(size_bytes, np.uint8)
                return
            # Private: a forked child gets a copy of its own, as of any array.
            self._pages = mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        except (MemoryError, OSError, OverflowError, ValueError) as error:
            reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
            raise OutOfMemory(
                f"{what} takes {size_bytes / 1e9:.1f} GB; the system does not give so much ({reason})."
            ) from None
        with contextlib.suppress(OSError):  # a kernel that knows no huge pages
            self._pages.madvise(mmap.MADV_NOHUGEPAGE)
        self._bytes = np.frombuffer(self._pages, np.uint8)

    @property
    def address(self) -> int:
        """Of the first byte."""
        return int(self._bytes.__array_interface__["data"][0])

    def view(self, dtype: np.dtype[Any]) -> NDArray[Any]:
        """All of it as an array of one axis, which keeps the memory."""
        return self._bytes.view(dtype)

    def gather(self) -> None:
        """Let all of it have huge pages, where it has small ones: it is written, or soon will be."""
        if self._pages is not None:
            with contextlib.suppress(OSError):  # an older kernel does so by and by, or not at all
                self._pages.madvise(mmap.MADV_HUGEPAGE)
                self._pages.madvise(_COLLAPSE)

    def release(self, start: int, stop: int) -> None:
        """Give the whole pages between two bytes back to the system."""
        first, last = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE, stop // mmap.PAGESIZE * mmap.PAGESIZE
        if self._pages is not None and last > first:
            self._pages.madvise(mmap.MADV_DONTNEED, first, last - first)
