"""Repositories on the Hugging Face Hub: files at a revision, brought into the local cache.

Together with its three parts (`hub_client`, `hub_failures`, `hub_quiet`) this is the only importer of huggingface_hub,
which does the work: tokens (HF_TOKEN, or the file that `hf auth login` writes), the cache below HF_HOME, HF_ENDPOINT,
HF_HUB_OFFLINE, parallel downloads. It reads its settings once per process, and none is changed here. Added is:

- no request and no `Retry-After` waits for ever, and what it asks for only once is asked for again (`hub_client`);
- a download continues after a *reset* as after a closed connection, and ends at once on Ctrl-C (`hub_client`);
- commits, ETags and file names are checked before paths are made of them (here and `hub_client`);
- its logs, warnings and progress bars stay off stderr, except one bar on a terminal (`hub_quiet`);
- every failure is a `HubError` that says what, where, and what to do next (`hub_failures`).

When the Hub cannot be reached, or answers only with troubles of its own (5xx, rate limits), the copy in the cache
serves if all that was asked for is in it. What the Hub does answer (no such repository, no access) stands.

This module does not know what an artifact or a checkpoint is.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from onnxpress.errors import HubError, MissingDependency
from onnxpress.hub import client as hub_client
from onnxpress.hub import failures as hub_failures
from onnxpress.hub import quiet as hub_quiet
from onnxpress.hub.client import COMMIT

# "name" or "organization/name": ASCII letters, digits, "_", "-" and ".", at most 96 a part, the last two only inside.
_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?"
_REPO_ID = re.compile(rf"(?:{_PART}/)?{_PART}")
_OUTSIDE = re.compile(r"(?:^|[/\\])\.\.(?:$|[/\\])|^[/\\]|(?:^|/)[A-Za-z]:")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Files of one repository at one commit, on disk.

    `folder` is usually a snapshot of the Hub's cache, where each file is a symbolic link into `../../blobs`: whoever
    checks that a path stays inside the folder must also accept `blob_roots(folder)`.
    """

    folder: Path
    repo_id: str
    revision: str  # as asked for; "main" when None was given
    commit: str  # what the revision stood for: 40 hexadecimal digits


def looks_like_repo_id(source: str) -> bool:
    """Whether `source` is "name" or "organization/name" by the Hub's rules. Asks neither the network nor the disk."""
    return (
        isinstance(source, str)
        and _REPO_ID.fullmatch(source) is not None
        and "--" not in source
        and ".." not in source
        and not source.endswith(".git")
    )


def fetch(repo_id: str, revision: str | None, patterns: Sequence[str], *, ignore: Sequence[str] = ()) -> Snapshot:
    """Bring the files that match into the cache and return where they are.

    Args:
        repo_id: "organization/name".
        revision: branch, tag or commit; None: "main". A commit that is cached whole needs no network.
        patterns: shell patterns of file names in the repository; "*" also matches "/". At least one file must match.
        ignore: patterns of files to leave out.

    Raises:
        HubError: no such repository or revision, no access, nothing matches, or the Hub cannot be reached and the
            cache does not hold all of it.
        MissingDependency: huggingface_hub is not installed.
    """
    revision = _checked_revision(repo_id, revision)
    with _library(), hub_failures.explained(repo_id, revision):
        try:
            commit, names = _listing(repo_id, revision)
            wanted = _matching(names, patterns, ignore)
            if not wanted:
                raise HubError(_nothing_matches(repo_id, revision, patterns, names))
            folder = _download(repo_id, commit, patterns, ignore)
        except Exception as error:
            cached = _cached(repo_id, revision, patterns, ignore) if hub_failures.cache_may_serve(error) else None
            if cached is None:
                raise
            return Snapshot(cached, repo_id, revision, cached.name)
        missing = [name for name in wanted if not (folder / name).is_file()]
        if missing:
            raise HubError(
                f"{repo_id} at {revision!r}: {len(missing)} of {len(wanted)} files did not arrive, such as "
                f"{missing[0]!r}. Try again; if that does not help, remove {folder.parent.parent}."
            )
        _remember(folder, revision, commit)
        return Snapshot(folder, repo_id, revision, commit)


def list_files(repo_id: str, revision: str | None) -> tuple[str, ...]:
    """Names of the files in the repository at the revision, sorted; offline: of those that are in the cache.

    Raises:
        HubError: no such repository or revision, no access, or the Hub cannot be reached and nothing is cached.
        MissingDependency: huggingface_hub is not installed.
    """
    revision = _checked_revision(repo_id, revision)
    with _library(), hub_failures.explained(repo_id, revision):
        from huggingface_hub.constants import is_offline_mode
        from huggingface_hub.errors import OfflineModeIsEnabled

        try:
            if is_offline_mode():
                raise OfflineModeIsEnabled("HF_HUB_OFFLINE")
            return _listing(repo_id, revision)[1]
        except Exception as error:
            cached = _cached(repo_id, revision, ["*"], (), whole=False) if hub_failures.cache_may_serve(error) else None
            if cached is None:
                raise
            return tuple(_files_in(cached))


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


@contextlib.contextmanager
def _library() -> Iterator[None]:
    """Where the library may be used: it is there, and quiet."""
    try:
        import huggingface_hub  # noqa: F401 - imports nothing but its own version
    except ImportError as error:
        raise MissingDependency(
            "Models on the Hub need huggingface_hub: pip install huggingface_hub. Or give a local folder."
        ) from error
    with hub_quiet.SILENCE:
        yield


# What the Hub has, and getting it.


def _listing(repo_id: str, revision: str) -> tuple[str, tuple[str, ...]]:
    """The commit behind a revision and the names of its files, sorted. A commit never changes: see the cache first."""
    from huggingface_hub import HfApi, constants, get_cached_repo_tree
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    is_commit = COMMIT.fullmatch(revision) is not None
    if is_commit:
        try:
            tree = get_cached_repo_tree(repo_id, revision=revision)
        except CachedRepoTreeNotFoundError:
            pass
        else:
            return revision, _checked_names(repo_id, (file.path for file in tree))
    api = HfApi(library_name=hub_client.AGENT)
    info = hub_client.patiently(
        lambda: api.model_info(repo_id, revision=revision, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    )
    commit = info.sha
    if not isinstance(commit, str) or not COMMIT.fullmatch(commit) or (is_commit and commit != revision):
        raise HubError(
            f"{constants.ENDPOINT} says that {repo_id} at {revision!r} is commit {commit!r}, which cannot be. "
            "Check HF_ENDPOINT; do not trust this server."
        )
    return commit, _checked_names(repo_id, (file.rfilename for file in info.siblings or ()))


def _download(repo_id: str, commit: str, patterns: Sequence[str], ignore: Sequence[str]) -> Path:
    from huggingface_hub import snapshot_download

    with hub_quiet.progress_bar(repo_id) as bar:
        download = partial(
            snapshot_download,
            repo_id,
            revision=commit,
            allow_patterns=list(patterns),
            ignore_patterns=list(ignore),
            library_name=hub_client.AGENT,
            tqdm_class=bar,
        )
        return Path(hub_client.patiently(lambda: hub_client.interruptibly(download)))


def _cached(
    repo_id: str, revision: str, patterns: Sequence[str], ignore: Sequence[str], *, whole: bool = True
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
                local_files_only=True,
            )
        )
    except LocalEntryNotFoundError:
        return None
    if not COMMIT.fullmatch(folder.name) or not _matching(_files_in(folder), patterns, ignore):
        return None
    return folder


def _remember(folder: Path, revision: str, commit: str) -> None:
    """Note what a branch or tag stands for where every Hub library looks for it offline: `refs/` of the cache."""
    note = folder.parent.parent / "refs" / revision
    unfinished = note.with_name(f"{note.name}.{threading.get_ident()}.tmp")
    with contextlib.suppress(OSError):  # a read-only cache still serves: only the note for offline use is missing
        if revision == commit or (note.is_file() and note.read_text() == commit):
            return
        note.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(commit)
        unfinished.replace(note)


def _matching(names: Iterable[str], patterns: Sequence[str], ignore: Sequence[str]) -> list[str]:
    from huggingface_hub.utils._paths import filter_repo_objects

    return list(filter_repo_objects(names, allow_patterns=list(patterns), ignore_patterns=list(ignore)))


def _files_in(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


# What callers and servers say, checked before paths are made of it.


def _checked_revision(repo_id: str, revision: str | None) -> str:
    if not looks_like_repo_id(repo_id):
        raise HubError(f'{repo_id!r} is not the name of a repository on the Hub. Give "name" or "organization/name".')
    if revision is None:
        return "main"
    if not revision or _OUTSIDE.search(revision) or not revision.isprintable():
        raise HubError(f"{repo_id}: {revision!r} is not a revision. Give a branch, a tag or a commit.")
    return revision


def _checked_names(repo_id: str, names: Iterable[str]) -> tuple[str, ...]:
    found = tuple(sorted(names))
    for name in found:
        if _OUTSIDE.search(name):
            raise HubError(
                f"{repo_id}: the Hub lists a file {name!r}, whose name leads out of the repository. Do not trust it."
            )
    return found


def _nothing_matches(repo_id: str, revision: str, patterns: Sequence[str], names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    return (
        f"{repo_id} at {revision!r} has no file that matches {', '.join(patterns)}; it has {shown or 'no files'}. "
        "Check that this is the right repository and revision."
    )
