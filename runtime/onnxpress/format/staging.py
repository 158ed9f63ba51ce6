"""Tells the hidden folders of living writers from those of dead ones, and removes the latter.

A process id does not tell: two threads share one, and two containers on one volume are both process 1. So each writer
holds the lock of a file of its own, `.NAME.TOKEN.lock`, while it works: the system lets go of the lock when the writer
dies, wherever it ran. Where a file system has no locks, every writer counts as living, and what dead ones left stays.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4


@dataclass(frozen=True, slots=True)
class Claim:
    """A writer's own names beside a target. `token` is a random word of 32 hexadecimal digits."""

    target: Path
    token: str

    def folder(self, kind: str) -> Path:
        """The hidden folder for what is "partial" or was "replaced"."""
        return self.target.absolute().with_name(f".{self.target.name}.{self.token}.{kind}")


@contextmanager
def claimed(target: Path) -> Iterator[Claim]:
    """Names for one writer, which count as those of a living one while the block runs.

    Raises:
        OSError: the folder of the target cannot be written.
    """
    claim = Claim(target, uuid4().hex)
    lock, unlocked = claim.folder("lock"), claim.folder("unlocked")
    handle = os.open(unlocked, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    try:
        _lock(handle)
        unlocked.rename(lock)  # under this name it is never seen without its lock
        yield claim
    finally:
        os.close(handle)
        lock.unlink(missing_ok=True)
        unlocked.unlink(missing_ok=True)


@contextmanager
def alone(lock: Path) -> Iterator[bool]:
    """Hold the lock of a file while the block runs; False: another writer holds it.

    Raises:
        OSError: the file cannot be made.
    """
    handle = os.open(lock, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        yield _lock(handle) or os.name == "nt"
    finally:
        os.close(handle)


def remove_leftovers(target: Path) -> None:
    """Remove what dead writers of the target left behind, and restore a folder that one of them was replacing."""
    parent = target.absolute().parent
    pattern = re.compile(rf"\.{re.escape(target.name)}\.([0-9a-f]+)\.(partial|replaced|lock)")
    names = [match for entry in sorted(parent.iterdir()) if (match := pattern.fullmatch(entry.name))]
    living = {token for token in {match[1] for match in names} if _lives(parent, target.name, token)}
    for match in names:
        if match[1] in living:
            continue
        entry = parent / match[0]
        with suppress(OSError):  # another writer may be clearing too
            if match[2] == "replaced" and not target.exists():
                entry.rename(target)
            elif match[2] == "lock":
                entry.unlink(missing_ok=True)
            else:
                shutil.rmtree(entry, ignore_errors=True)


def _lives(parent: Path, name: str, token: str) -> bool:
    try:
        handle = os.open(parent / f".{name}.{token}.lock", os.O_RDWR)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        return not _lock(handle)
    finally:
        os.close(handle)


def _lock(handle: int) -> bool:
    """Take the lock of a file that is open, if nobody has it and the system has locks."""
    try:
        import fcntl
    except ImportError:  # Windows
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
