"""The SHA-256 of a file."""

from __future__ import annotations

import hashlib
import mmap
import os
from pathlib import Path

#: Read and hashed at once. Between two pieces a thread waits for the interpreter's lock, which one that imports modules
#: meanwhile gives up every 5 ms: pieces of 1 MiB would take a few milliseconds each.
_CHUNK_BYTES = 1 << 24


def sha256(path: Path) -> str:
    """SHA-256 of a file as 64 lower-case hexadecimal digits."""
    digest = hashlib.sha256()
    # Of pages of its own: the C library would keep a piece that was freed for itself, once for each thread.
    with (
        path.open("rb", buffering=0) as file,
        mmap.mmap(-1, max(1, min(_CHUNK_BYTES, os.fstat(file.fileno()).st_size))) as buffer,
        memoryview(buffer) as view,
    ):
        while count := file.readinto(buffer):
            with view[:count] as piece:
                digest.update(piece)
    return digest.hexdigest()
