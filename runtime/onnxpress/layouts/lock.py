"""`onnxpress.lock`: the commit and the hashes of the files that a model was first opened with; others are refused.

A lock is of one variant: its graphs, and every file that belongs to all of them. Where the model is does not matter: a
folder may be moved, and a repository's lock holds for a copy of its files.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from glob import escape
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from onnxpress.errors import ArtifactError, CorruptFile, InputError, LockMismatch, OutputError, UnsupportedFormat
from onnxpress.format.contents import at_home
from onnxpress.format.files import write_file
from onnxpress.format.hashing import sha256
from onnxpress.format.manifest import FILE_NAME, FileInfo
from onnxpress.format.schema import decode, encode
from onnxpress.format.strict_json import parse_json
from onnxpress.graphcheck.scan import external_files
from onnxpress.layouts.artifact import Artifact
from onnxpress.layouts.places import link_roots

if TYPE_CHECKING:
    from onnxpress.hub import Snapshot, Tree

FORMAT, VERSION = "onnxpress.lock", 1

_MAX_BYTES = 16 << 20
_SHOWN = 8
_TOP = PurePosixPath()


@dataclass(frozen=True, slots=True)
class Lock:
    """What a lock says. `source`, `commit`: the repository on the Hub; None: it was a folder."""

    format: str
    version: int
    source: str | None
    commit: str | None
    precision: str
    files: Mapping[str, FileInfo]


@dataclass(frozen=True, slots=True)
class LockFile:
    """A lock on disk: the one that is there, or the one that will be."""

    path: Path
    lock: Lock | None

    @staticmethod
    def at(path: str | Path) -> LockFile:
        """Read a lock, if it is there.

        Raises:
            InputError: it is a folder, or cannot be read.
            CorruptFile: it is no lock.
            UnsupportedFormat: it is of a newer version.
        """
        place = at_home(path)
        try:
            data = place.read_bytes() if place.stat().st_size <= _MAX_BYTES else b""
        except FileNotFoundError:
            if not place.absolute().parent.is_dir():
                raise InputError(f"{place}: there is no such folder to write a lock in. Make it first.") from None
            return LockFile(place, None)
        except OSError as error:
            raise InputError(f"{place}: cannot be read as a lock ({error.strerror}). Name another file.") from None
        return LockFile(place, _parsed(data, place))

    def check_commit(self, there: Snapshot | Tree, inner: PurePosixPath = _TOP, absent: Collection[str] = ()) -> None:
        """Refuse a repository at another commit than the locked one, before its weights are fetched.

        Args:
            inner: the folder of the repository that holds the model.
            absent: files that the repository need not have.

        Raises:
            LockMismatch: it is another repository, or another commit.
        """
        lock = self.lock
        if lock is None or lock.commit is None:
            return
        if there.repo_id != lock.source:
            raise LockMismatch(
                f"{self.path} is of {lock.source}, not of {there.repo_id}. Use a lock of its own for each model."
            )
        if there.commit != lock.commit:
            changed = _listed(_changes_on_hub(lock, there, inner, absent))
            raise LockMismatch(
                f"{there.repo_id} at {there.revision!r} is commit {there.commit} now; {self.path} has {lock.commit}. "
                f'{changed} To go on with what is locked, pass revision="{lock.commit}"; to accept what is new, remove '
                "the lock."
            )

    def settle(self, what: str, precision: str, files: Mapping[str, FileInfo], there: Snapshot | Tree | None) -> None:
        """Refuse other files than the locked ones; write the lock where there is none.

        Args:
            what: where the files are, in words.
            files: those that the variant runs with.
            there: the repository that they came from; None: a folder.

        Raises:
            LockMismatch: a file differs, is gone, or is new; or the lock is of another variant.
            OutputError: the lock cannot be written.
        """
        if self.lock is None:
            source, commit = (None, None) if there is None else (there.repo_id, there.commit)
            self._write(Lock(FORMAT, VERSION, source, commit, precision, files))
            return
        if precision != self.lock.precision:
            raise LockMismatch(
                f"{self.path} is of the variant {self.lock.precision}, and {precision} is to run. Pass "
                f'precision="{self.lock.precision}", or use a lock of its own for {precision}.'
            )
        changes = list(_changes(self.lock.files, files))
        if changes:
            raise LockMismatch(
                f"{what} is not what {self.path} locked. {_listed(changes)} Get the locked files back; to accept "
                "these, remove the lock."
            )

    def _write(self, lock: Lock) -> None:
        """Write the lock, whole or not at all."""
        try:
            write_file(self.path, (json.dumps(encode(lock), indent=2, ensure_ascii=False) + "\n").encode())
        except OSError as error:
            raise OutputError(f"{self.path}: the lock cannot be written ({error.strerror}).") from None


def check_commit(lock: LockFile, artifact: Artifact) -> None:
    """Refuse an artifact that is at another commit than the locked one.

    Raises:
        LockMismatch: as of `LockFile.check_commit`.
    """
    if artifact.snapshot is not None:
        inner = PurePosixPath(artifact.folder.relative_to(artifact.snapshot.folder).as_posix())
        lock.check_commit(artifact.snapshot, inner, artifact.elsewhere)


def settle(lock: LockFile, artifact: Artifact, precision: str) -> None:
    """Refuse a variant whose files are not the locked ones; write the lock where there is none.

    Raises:
        LockMismatch, OutputError: as of `LockFile.settle`.
        ArtifactError, HubError: as of `Artifact.file`.
    """
    what = str(artifact.folder if artifact.snapshot is None else artifact.snapshot.repo_id)
    lock.settle(what, precision, used_files(artifact, precision), artifact.snapshot)


def used_files(artifact: Artifact, precision: str) -> dict[str, FileInfo]:
    """The files that a variant runs with, each with its size and hash."""
    names = artifact.needed([precision])
    if artifact.adopted is not None:  # weights may have any name
        for files in artifact.manifest.variants[precision].graphs.values():
            path = artifact.file(files.file)
            places = external_files(path, root=artifact.folder, also=(*link_roots(artifact.folder), path.parent))
            names |= {str(PurePosixPath(files.file).parent / place) for place in places}
    used = {name: _info(artifact, name) for name in names}
    manifest = artifact.folder / FILE_NAME
    if artifact.adopted is None and manifest.is_file():
        used[FILE_NAME] = FileInfo(manifest.stat().st_size, sha256(manifest))
    return dict(sorted(used.items()))


def _info(artifact: Artifact, name: str) -> FileInfo:
    listed = artifact.manifest.files.get(name)
    path = artifact.folder / name if listed is None else artifact.file(name)
    if listed is not None and listed.sha256:  # `file` has compared it
        return listed
    return FileInfo(path.stat().st_size, sha256(path))


def _changes(locked: Mapping[str, FileInfo], there: Mapping[str, FileInfo]) -> Iterable[str]:
    """Each difference in words."""
    for name in sorted({*locked, *there}):
        if name not in there:
            yield f"{name} is gone"
        elif name not in locked:
            yield f"{name} is new"
        elif locked[name] != there[name]:
            yield f"{name} changed"


def _changes_on_hub(lock: Lock, there: Snapshot | Tree, inner: PurePosixPath, absent: Collection[str]) -> Iterable[str]:
    """What differs at the commit that is there now, without fetching large files."""
    from onnxpress import hub

    listed = hub.list_tree(there.repo_id, there.commit, there.access).files
    for name, info in lock.files.items():
        place = (inner / name).as_posix()
        file = listed.get(place)
        if file is None:
            if name not in absent:
                yield f"{name} is gone"
        elif file.bytes != info.bytes or (file.digest.kind == "sha256" and file.digest.value != info.sha256):
            yield f"{name} changed"
        elif file.digest.kind != "sha256":
            folder = hub.fetch(there.repo_id, there.commit, [escape(place)], access=there.access).folder
            if sha256(folder / place) != info.sha256:
                yield f"{name} changed"


def _listed(changes: Iterable[str]) -> str:
    lines = list(changes)
    if not lines:
        return "None of the locked files changed."
    shown = "; ".join(lines[:_SHOWN])
    return f"{shown}; and {len(lines) - _SHOWN} more." if len(lines) > _SHOWN else f"{shown}."


def _parsed(data: bytes, path: Path) -> Lock:
    try:
        value = parse_json(data)
    except (ValueError, RecursionError) as error:
        raise CorruptFile(f"{path}: no lock, it is not JSON ({error}). Name another file, or remove it.") from None
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise CorruptFile(f'{path}: no lock (no "format": "{FORMAT}"). Name another file.')
    if value.get("version") != VERSION:
        raise UnsupportedFormat(f"{path}: a lock of version {value.get('version')!r}; this onnxpress reads {VERSION}.")
    try:
        return decode(Lock, value, str(path))
    except ArtifactError as error:
        raise CorruptFile(f"{error} The lock was changed or damaged: remove it to write a new one.") from None
