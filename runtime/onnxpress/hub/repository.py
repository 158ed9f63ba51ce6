"""Repositories on the Hugging Face Hub: files at a revision, brought into the local cache.

When the Hub cannot be reached, or answers only with troubles of its own (5xx, rate limits), the copy in the cache
serves if all that was asked for is in it. What the Hub does answer (no such repository, no access) stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from onnxpress.errors import HubError
from onnxpress.hub.cache import cached_snapshot, files_in, matching, remember
from onnxpress.hub.client import AGENT, interruptibly, patiently
from onnxpress.hub.failures import cache_may_serve, explained
from onnxpress.hub.names import COMMIT, checked_names, checked_revision
from onnxpress.hub.quiet import library, progress_bar


@dataclass(frozen=True, slots=True)
class Access:
    """How the Hub is asked, where that is not what its library's settings say.

    Args:
        token: of this call; None: the one that is saved or set in the environment; False: none.
        cache_dir: where files are kept; None: the Hub's cache.
        local_only: take files from the cache alone.
    """

    token: str | bool | None = field(default=None, repr=False)
    cache_dir: Path | None = None
    local_only: bool = False

    def __reduce__(self) -> tuple[Any, ...]:
        """A pickle has no token in it."""
        return Access, (None, self.cache_dir, self.local_only)


USUAL_ACCESS = Access()


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
    access: Access = USUAL_ACCESS


def fetch(
    repo_id: str,
    revision: str | None,
    patterns: Sequence[str],
    *,
    ignore: Sequence[str] = (),
    access: Access = USUAL_ACCESS,
) -> Snapshot:
    """Bring the files that match into the cache and return where they are.

    Args:
        repo_id: "organization/name".
        revision: branch, tag or commit; None: "main". A commit that is cached whole needs no network.
        patterns: shell patterns of file names in the repository; "*" also matches "/". At least one file must match.
        ignore: patterns of files to leave out.
        access: a token, a cache, or the wish to stay off the network.

    Raises:
        HubError: no such repository or revision, no access, nothing matches, or the Hub cannot be reached and the
            cache does not hold all of it.
        MissingDependency: huggingface_hub is not installed.
    """
    revision = checked_revision(repo_id, revision)
    with library(), explained(repo_id, revision):
        if access.local_only:
            return _cached_alone(repo_id, revision, patterns, ignore, access)
        try:
            commit, names = _listing(repo_id, revision, access)
            wanted = matching(names, patterns, ignore)
            if not wanted:
                raise HubError(_nothing_matches(repo_id, revision, patterns, names))
            folder = _download(repo_id, commit, patterns, ignore, access)
        except Exception as error:
            serves = cache_may_serve(error)
            cached = cached_snapshot(repo_id, revision, patterns, ignore, access.cache_dir) if serves else None
            if cached is None:
                raise
            return Snapshot(cached, repo_id, revision, cached.name, access)
        missing = [name for name in wanted if not (folder / name).is_file()]
        if missing:
            raise HubError(
                f"{repo_id} at {revision!r}: {len(missing)} of {len(wanted)} files did not arrive, such as "
                f"{missing[0]!r}. Try again; if that does not help, remove {folder.parent.parent}."
            )
        remember(folder, revision, commit)
        return Snapshot(folder, repo_id, revision, commit, access)


def _cached_alone(
    repo_id: str, revision: str, patterns: Sequence[str], ignore: Sequence[str], access: Access
) -> Snapshot:
    folder = cached_snapshot(repo_id, revision, patterns, ignore, access.cache_dir)
    if folder is None:
        raise HubError(not_cached(repo_id, revision, access))
    return Snapshot(folder, repo_id, revision, folder.name, access)


def not_cached(repo_id: str, revision: str, access: Access) -> str:
    """Why the cache alone does not serve. For this package."""
    from huggingface_hub import constants

    return (
        f"The cache in {access.cache_dir or constants.HF_HUB_CACHE} does not hold all of {repo_id} at {revision!r} "
        "that is needed, and local_files_only=True forbids to fetch it. Leave that out once."
    )


def list_files(repo_id: str, revision: str | None, access: Access = USUAL_ACCESS) -> tuple[str, ...]:
    """Names of the files in the repository at the revision, sorted; offline: of those that are in the cache.

    Raises:
        HubError: no such repository or revision, no access, or the Hub cannot be reached and nothing is cached.
        MissingDependency: huggingface_hub is not installed.
    """
    revision = checked_revision(repo_id, revision)
    with library(), explained(repo_id, revision):
        from huggingface_hub.constants import is_offline_mode
        from huggingface_hub.errors import OfflineModeIsEnabled

        try:
            if access.local_only or is_offline_mode():
                raise OfflineModeIsEnabled("HF_HUB_OFFLINE")
            return _listing(repo_id, revision, access)[1]
        except Exception as error:
            serves = cache_may_serve(error)
            cached = cached_snapshot(repo_id, revision, ["*"], (), access.cache_dir, whole=False) if serves else None
            if cached is None:
                raise
            return tuple(files_in(cached))


# What the Hub has, and getting it.


def _listing(repo_id: str, revision: str, access: Access = USUAL_ACCESS) -> tuple[str, tuple[str, ...]]:
    """The commit of a revision and the names of its files, sorted. The cache is asked first: a commit never changes."""
    from huggingface_hub import get_cached_repo_tree
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    if COMMIT.fullmatch(revision):
        try:
            tree = get_cached_repo_tree(repo_id, revision=revision, cache_dir=access.cache_dir)
        except CachedRepoTreeNotFoundError:
            pass
        else:
            return revision, checked_names(repo_id, (file.path for file in tree))
    info = _info(repo_id, revision, access)
    return info.sha, checked_names(repo_id, (file.rfilename for file in info.siblings or ()))


def resolve(repo_id: str, revision: str, access: Access) -> str:
    """The commit that a revision stands for on the Hub, which is asked unless it is one already. For this package."""
    return revision if COMMIT.fullmatch(revision) else str(_info(repo_id, revision, access).sha)


def _info(repo_id: str, revision: str, access: Access) -> Any:
    """What the Hub says of a repository at a revision; its `sha` is a commit.

    Raises:
        HubError: it says what cannot be.
    """
    from huggingface_hub import HfApi, constants

    api = HfApi(library_name=AGENT, token=access.token)
    info = patiently(lambda: api.model_info(repo_id, revision=revision, timeout=constants.HF_HUB_ETAG_TIMEOUT))
    commit = info.sha
    is_commit = COMMIT.fullmatch(revision) is not None
    if not isinstance(commit, str) or not COMMIT.fullmatch(commit) or (is_commit and commit != revision):
        raise HubError(
            f"{constants.ENDPOINT} says that {repo_id} at {revision!r} is commit {commit!r}, which cannot be. "
            "Check HF_ENDPOINT; do not trust this server."
        )
    return info


def _download(
    repo_id: str, commit: str, patterns: Sequence[str], ignore: Sequence[str], access: Access = USUAL_ACCESS
) -> Path:
    from huggingface_hub import snapshot_download

    with progress_bar(repo_id) as bar:
        download = partial(
            snapshot_download,
            repo_id,
            revision=commit,
            allow_patterns=list(patterns),
            ignore_patterns=list(ignore),
            library_name=AGENT,
            tqdm_class=bar,
            token=access.token,
            cache_dir=access.cache_dir,
        )
        return Path(patiently(lambda: interruptibly(download)))


def _nothing_matches(repo_id: str, revision: str, patterns: Sequence[str], names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    return (
        f"{repo_id} at {revision!r} has no file that matches {', '.join(patterns)}; it has {shown or 'no files'}. "
        "Check that this is the right repository and revision."
    )
