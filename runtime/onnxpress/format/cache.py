"""The folder where onnxpress keeps what can be made again."""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

from onnxpress.format.files import write_file


def cache_folder() -> Path:
    """Where onnxpress keeps what can be made again: ONNXPRESS_CACHE, or a folder of the user's cache."""
    if chosen := os.environ.get("ONNXPRESS_CACHE"):
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "onnxpress"


def keep(name: str, content: bytes) -> Path:
    """A file of this name and content: in the cache, or, where that cannot be written, for this process alone.

    Args:
        name: of the file, without a folder.
    """
    place = Path("made") / hashlib.sha256(content).hexdigest()[:32] / name
    path = cache_folder() / place
    try:
        return _written(path, content)
    except OSError:
        return _written(_folder_of_process() / place, content)


def _written(path: Path, content: bytes) -> Path:
    if not path.is_file() or path.read_bytes() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, content)
    return path


@cache
def _folder_of_process() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="onnxpress-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
