"""`pull()`: a repository of the Hub as a folder of its own, with the files that some of its variants need, checked."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from onnxpress.errors import ArtifactError, CorruptFile, InputError, MissingFile, OutputError
from onnxpress.format.contents import at_home, narrowed
from onnxpress.format.files import check_target, disk_failure, staged_folder, write_file
from onnxpress.format.hashing import sha256
from onnxpress.format.manifest import FILE_NAME, FileInfo
from onnxpress.format.staging import alone
from onnxpress.layouts.artifact import Artifact
from onnxpress.layouts.files import Files
from onnxpress.layouts.layout import Asked
from onnxpress.layouts.lock import LockFile
from onnxpress.layouts.places import Place
from onnxpress.layouts.table import MARKS

if TYPE_CHECKING:
    from onnxpress.hub import Access, Download

#: What may stand in the place of precisions: all that there are.
ALL = "all"

#: Room that has to be left besides what is fetched, in bytes.
_SPARE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Pulled:
    """A folder that came from the Hub. `files`: each with its size and hash; `revision`: what was asked for."""

    folder: Path
    repo_id: str
    revision: str
    commit: str
    precisions: tuple[str, ...]
    files: Mapping[str, FileInfo]

    @property
    def bytes(self) -> int:
        """Those of all files."""
        return sum(info.bytes for info in self.files.values())


def pull(
    model: str,
    to: str | Path,
    *,
    revision: str | None = None,
    precision: str | Sequence[str] | None = None,
    lock: str | Path | None = None,
    force: bool = False,
    token: str | bool | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
) -> Artifact:
    """Bring a model from the Hub into a folder of its own, which needs no network afterwards.

    Args:
        model: a Hub id.
        to: the folder, which is not there yet.
        revision: branch, tag or commit.
        precision: the variants to bring: names, or one text with commas between them, or "all"; "fastest", "smallest"
            or "exact"; None: the one that a pipeline would run on this machine.
        lock: a file with the commit and the hashes of what came: written where there is none, else nothing else may
            come. One variant at a time.
        force: replace `to` if it is an artifact.
        token: of this call; None: the one that is saved or set in the environment; False: none.
        cache_dir: where files of the Hub may be already; None: the Hub's cache. Nothing is added to it.
        local_files_only: take files from the cache alone.

    Raises:
        InputError: `to` is there, or cannot be written.
        UnsupportedFormat: there is no such variant.
        LockMismatch: the commit or a file is not the locked one.
        HubError: the Hub refused or cannot be reached, or a file is not what the Hub lists.
        OutputError: the disk is full. What arrived is kept beside `to`, and the next call goes on from there.
    """
    from onnxpress.hub import Access

    access = Access(token, None if cache_dir is None else at_home(cache_dir), local_files_only)
    return Artifact.open(bring(model, to, revision, precision, lock=lock, force=force, access=access).folder)


def bring(
    repo_id: str,
    to: str | Path,
    revision: str | None,
    precision: str | Sequence[str] | None,
    *,
    lock: str | Path | None,
    force: bool,
    access: Access,
) -> Pulled:
    """As `pull`; tells what came."""
    from onnxpress.hub import Download, list_tree

    target = at_home(to)
    check_target(target, force=force)
    locked = None if lock is None else LockFile.at(lock)
    tree = list_tree(repo_id, revision, access)
    if locked is not None:
        locked.check_commit(tree)
    with _workplace(target) as place:
        download = Download(tree, place)
        with _named(repo_id, download.files):
            artifact, names, chosen = _choose(download, precision)
        if locked is not None and len(chosen) > 1:
            raise InputError(f"A lock is of one variant, and {len(chosen)} are asked for. Pull each with its own lock.")
        _check_room(download, names, target)
        download.bring(names)
        with staged_folder(target, force=force) as staging:
            _fill(staging, download, artifact, names, chosen)
            files = {
                path.relative_to(staging).as_posix(): FileInfo(path.stat().st_size, sha256(path))
                for path in sorted(staging.rglob("*"))
                if path.is_file()
            }
            _compare(artifact, files, repo_id)
            if locked is not None:
                locked.settle(repo_id, chosen[0], files, tree)
    return Pulled(target, repo_id, tree.revision, tree.commit, chosen, files)


@contextmanager
def _workplace(target: Path) -> Iterator[Path]:
    """The hidden folder beside the target in which files arrive. It stays where something arrived and not all did."""
    place = target.absolute().with_name(f".{target.name}.pulling")
    try:
        place.mkdir(parents=True, exist_ok=True)
        with alone(place / "lock") as held:
            if not held:
                raise InputError(f"{target}: another pull into this folder is going on. Wait for it to end.")
            try:
                yield place
            except BaseException:
                if not any(path.stat().st_size for path in place.rglob("*") if path.is_file()):
                    shutil.rmtree(place, ignore_errors=True)
                raise
            shutil.rmtree(place, ignore_errors=True)
    except OSError as error:
        reason = disk_failure(error)
        if reason is None:
            raise InputError(
                f"{target.absolute().parent}: cannot write here ({error.strerror}). Choose another folder."
            ) from None
        raise OutputError(
            f"{target}: cannot be written ({reason}). What arrived is kept in {place}: free space there and pull again."
        ) from error


@contextmanager
def _named(repo_id: str, folder: Path) -> Iterator[None]:
    """Name the repository in errors instead of the folder in which its files arrive."""
    try:
        yield
    except ArtifactError as error:
        raise type(error)(str(error).replace(str(folder), repo_id)) from None


def _choose(
    download: Download, precision: str | Sequence[str] | None
) -> tuple[Artifact, Collection[str], tuple[str, ...]]:
    """What the repository holds, the files to bring, and the variants that they make.

    Raises:
        UnsupportedFormat: there is no such variant.
    """
    from onnxpress.engine.choice import choose

    listed = download.tree.files
    files = Files(download.files, lambda: listed, download.bring, source=download.tree.repo_id)
    download.bring(MARKS)
    whole = Artifact.at(Place(files, Asked()))
    variants = whole.manifest.variants
    asked = precision.split(",") if isinstance(precision, str) else precision or ()
    usual: list[str | None] = [None]
    names = list(variants) if list(asked) == [ALL] else [name.strip() for name in asked] or usual
    chosen = tuple(dict.fromkeys(choose(whole.manifest, name).precision for name in names))
    needed: set[str] = set()
    for name in chosen:  # another tool's variant is described by its own graphs
        artifact = whole if whole.adopted is None else Artifact.at(Place(files, Asked(name)))
        needed |= artifact.needed([name]) - artifact.elsewhere.keys()
    missing = sorted(needed - listed.keys())
    if missing:
        raise MissingFile(
            f"{download.tree.repo_id} at {download.tree.revision!r}: {missing[0]} is needed and is not there. Ask its "
            "author to add it."
        )
    return whole, needed | ({FILE_NAME} & listed.keys()), chosen


def _check_room(download: Download, names: Collection[str], target: Path) -> None:
    """Refuse before the download what the disk cannot hold.

    Raises:
        OutputError: there is less room than is needed.
    """
    needed = sum(file.bytes for file in download.missing(names))
    free = shutil.disk_usage(download.folder).free
    if needed + _SPARE_BYTES > free:
        raise OutputError(
            f"{target}: {needed / 1e6:.1f} MB are to come, and the disk has room for {free / 1e6:.1f} MB. Free space "
            "there, or choose another folder."
        )


def _fill(staging: Path, download: Download, artifact: Artifact, names: Collection[str], chosen: Sequence[str]) -> None:
    """Move what arrived to the folder, with a manifest that names nothing else."""
    for name in names:
        (staging / name).parent.mkdir(parents=True, exist_ok=True)
        (download.files / name).replace(staging / name)
    if FILE_NAME in names and set(chosen) != set(artifact.manifest.variants):
        text = (staging / FILE_NAME).read_bytes()
        write_file(staging / FILE_NAME, narrowed(text, artifact.manifest, chosen))


def _compare(artifact: Artifact, files: Mapping[str, FileInfo], repo_id: str) -> None:
    """Refuse files that are the Hub's and not the manifest's.

    Raises:
        CorruptFile: a size or hash differs.
    """
    if artifact.adopted is not None:
        return
    for name, info in files.items():
        listed = artifact.manifest.files.get(name)
        if listed is not None and listed != info:
            raise CorruptFile(
                f"{repo_id}: {name} is not the file that {FILE_NAME} names: its SHA-256 is {info.sha256}, the manifest "
                f"says {listed.sha256}. Nothing was written. Ask the author to push the artifact again."
            )
