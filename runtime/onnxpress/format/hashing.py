"""The SHA-256 of a file."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

#: Read and hashed at once. Between two pieces a thread waits for the interpreter's lock, which one that imports modules
#: meanwhile gives up every 5 ms: pieces of 1 MiB would take a few milliseconds each.
_CHUNK_BYTES = 1 << 24


def sha256(path: Path) -> str:
    """SHA-256 of a file as 64 lower-case hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        buffer = bytearray(max(1, min(_CHUNK_BYTES, os.fstat(file.fileno()).st_size)))
        view = memoryview(buffer)
        while count := file.readinto(buffer):
            digest.update(view[:count])
    return digest.hexdigest()
