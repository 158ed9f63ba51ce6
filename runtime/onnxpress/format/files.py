"""Writes a folder whole or not at all: fills a temporary folder beside the target, syncs it and renames it.

Each writer fills a hidden folder of its own, `.NAME.TOKEN.partial`, where TOKEN is a random word. A writer that is
killed leaves it behind; it is not an artifact, and the next writer of the same target removes it. `staging` tells the
folders of the living from those of the dead. This module does not know what is in the folder.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

from onnxpress.errors import InputError, OutputError
from onnxpress.format.staging import Claim, claimed, remove_leftovers

#: What the system says where the disk is to blame, not what is written.
_DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS})

#: The same in the words of libraries that keep the system's number to themselves: Rust's, numpy's.
_DISK_FAILED = re.compile(r"No space left on device|Disk quota exceeded|File too large|\d+ requested and \d+ written")


def write_file(path: Path, data: bytes) -> None:
    """Write `data` beside `path`, flush it to the disk, and rename: readers see the old file or the new one."""
    with new_file(path) as partial:
        partial.write_bytes(data)


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A name beside `path` to write under. When the block ends, that file is flushed to the disk and renamed, so that
    readers see the old file or the new one; if it fails, nothing is left."""
    partial = path.with_name(f".{path.name}.{uuid4().hex}.partial")
    try:
        yield partial
        sync(partial)
        partial.replace(path)
        sync(path.parent)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def staged_folder(target: Path, *, force: bool = False) -> Iterator[Path]:
    """A new folder to fill, which becomes `target` when the block ends without an exception.

    Raises:
        InputError: `target` exists, at the end too, and `force` is not given; or its parent cannot be written.
        OutputError: the block, or what follows it, meets a full disk.
    """
    check_target(target, force=force)
    parent = target.absolute().parent
    with ExitStack() as held:
        try:
            parent.mkdir(parents=True, exist_ok=True)
            remove_leftovers(target)
            claim = held.enter_context(claimed(target))
            staging = claim.folder("partial")
            staging.mkdir()
        except OSError as error:
            raise InputError(f"{parent}: cannot write here ({error.strerror}). Choose another output folder.") from None
        held.callback(shutil.rmtree, staging, ignore_errors=True)
        try:
            yield staging
            for file in sorted(staging.rglob("*")):
                sync(file)
            sync(staging)
            _swap(staging, target, claim, force=force)
            sync(parent)
        except Exception as error:
            reason = disk_failure(error)
            if reason is None:
                raise
            raise OutputError(
                f"{target}: cannot be written ({reason}). Nothing was written. Free space in {parent} and in "
                f"{tempfile.gettempdir()}, or choose another output folder."
            ) from error


def disk_failure(error: BaseException) -> str | None:
    """What the disk is to blame for, in the system's words; None: the error is another one."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _DISK_ERRORS:
            return cause.strerror
        if (said := _DISK_FAILED.search(str(cause))) is not None:
            return said[0]
        cause = cause.__cause__ or cause.__context__
    return None


def check_target(target: Path, *, force: bool) -> None:
    """Refuse early what `staged_folder` would refuse late.

    Raises:
        InputError: `target` exists and `force` is not given, or is not a folder.
    """
    if not target.exists() and not target.is_symlink():
        return
    if not force:
        raise InputError(f"{target} exists already. Choose another output folder, or pass --force to replace it.")
    if not target.is_dir() or target.is_symlink():
        raise InputError(f"{target} is not a folder, so it will not be replaced. Choose another output folder.")
    if any(target.iterdir()) and not (target / "onnxpress.json").is_file():
        raise InputError(
            f"{target} is not an onnxpress artifact, so --force will not replace it. Choose another output folder."
        )


def _swap(staging: Path, target: Path, claim: Claim, *, force: bool) -> None:
    """Let the staging folder become the target, in place of the one that is there; the last of several writers wins."""
    while True:
        if force and target.exists():
            if _replace(staging, target, claim.folder("replaced")):
                return
            continue
        try:
            staging.rename(target)
            return
        except OSError:
            check_target(target, force=force)  # another writer was faster
            if not (force and target.exists()):
                raise


def _replace(staging: Path, target: Path, old: Path) -> bool:
    """Whether the target was replaced; not where another writer did so at the same moment. `old`: where it goes."""
    try:
        target.rename(old)
    except FileNotFoundError:
        return False
    try:
        staging.rename(target)
    except BaseException as error:
        if target.exists() and isinstance(error, OSError):
            shutil.rmtree(old, ignore_errors=True)
            return False
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)
    return True


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk."""
    if os.name == "nt" and path.is_dir():  # Windows cannot open a folder
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)  # Windows flushes what can be written alone
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
