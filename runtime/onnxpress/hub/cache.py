"""The Hub's cache on this disk: what it holds of a repository, and where its links lead."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

from onnxpress.hub.names import COMMIT


def blob_roots(folder: Path) -> tuple[Path, ...]:
    """All folders that links in a snapshot of the Hub's cache may lead to; empty if `folder` is no such snapshot.

    The first is the repository's own `blobs`. The second is the store that huggingface_hub shares between
    repositories for files that came through Xet: an entry of `blobs` is then itself a link, into `HF_HUB_CACHE/blobs`.
    """
    folder = folder.absolute()
    repository = folder.parent.parent
    if (
        folder.parent.name != "snapshots"
        or not repository.name.startswith("models--")
        or not COMMIT.fullmatch(folder.name)
        or not (repository / "blobs").is_dir()
    ):
        return ()
    return repository / "blobs", repository.parent / "blobs"


def cached_snapshot(
    repo_id: str,
    revision: str,
    patterns: Sequence[str],
    ignore: Sequence[str],
    cache_dir: Path | None = None,
    *,
    whole: bool = True,
) -> Path | None:
    """The snapshot in the cache, if it is there and (with `whole`) no file that matches is known to be missing."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(
            snapshot_download(
                repo_id,
                revision=revision,
                allow_patterns=list(patterns) if whole else [],
                ignore_patterns=list(ignore),
                cache_dir=cache_dir,
                local_files_only=True,
            )
        )
    except LocalEntryNotFoundError:
        return None
    if not COMMIT.fullmatch(folder.name) or not matching(files_in(folder), patterns, ignore):
        return None
    return folder


def remember(folder: Path, revision: str, commit: str) -> None:
    """Note what a branch or tag stands for where every Hub library looks for it offline: `refs/` of the cache."""
    note = folder.parent.parent / "refs" / revision
    unfinished = note.with_name(f"{note.name}.{threading.get_ident()}.tmp")
    with contextlib.suppress(OSError):  # a read-only cache still serves: only the note for offline use is missing
        if revision == commit or (note.is_file() and note.read_text() == commit):
            return
        note.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(commit)
        unfinished.replace(note)


def matching(names: Iterable[str], patterns: Sequence[str], ignore: Sequence[str]) -> list[str]:
    from huggingface_hub.utils import filter_repo_objects  # type: ignore[attr-defined]

    return list(filter_repo_objects(names, allow_patterns=list(patterns), ignore_patterns=list(ignore)))


def files_in(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
