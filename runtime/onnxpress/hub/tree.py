"""What a repository holds at a commit: each file with its size and the hash that the Hub knows it by."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onnxpress.errors import HubError
from onnxpress.hub.cache import cached_snapshot
from onnxpress.hub.client import AGENT, patiently
from onnxpress.hub.failures import cache_may_serve, explained
from onnxpress.hub.names import COMMIT, checked_names, checked_revision
from onnxpress.hub.quiet import library
from onnxpress.hub.repository import USUAL_ACCESS, Access, not_cached, resolve

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Digest:
    """The hash of a file. `kind`: "sha256", of the content of a large file; "git", the id that git gives the file, or
    the pointer that stands for a large one."""

    kind: str
    value: str

    def fits(self, path: Path) -> bool:
        """Whether this is the hash of a file."""
        sha256, git = hashlib.sha256(), hashlib.sha1(_header(path.stat().st_size), usedforsecurity=False)
        with path.open("rb") as file:
            while piece := file.read(_CHUNK_BYTES):
                sha256.update(piece)
                if self.kind == "git":
                    git.update(piece)
        if self.kind == "sha256":
            return sha256.hexdigest() == self.value
        return self.value in (git.hexdigest(), pointer_id(sha256.hexdigest(), path.stat().st_size))


def git_id(content: bytes) -> str:
    """The id that git gives a file."""
    return hashlib.sha1(_header(len(content)) + content, usedforsecurity=False).hexdigest()


def pointer_id(sha256: str, count: int) -> str:
    """The id that git gives the pointer to a large file of so many bytes."""
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {count}\n".encode()
    return git_id(pointer)


def _header(count: int) -> bytes:
    return b"blob %d\0" % count


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file of a repository."""

    name: str
    bytes: int
    digest: Digest


@dataclass(frozen=True, slots=True)
class Tree:
    """The files of a repository at one commit, by name. `revision`: what was asked for, "main" when nothing was."""

    repo_id: str
    revision: str
    commit: str
    files: Mapping[str, RemoteFile]
    access: Access = field(default=USUAL_ACCESS, compare=False)


def list_tree(repo_id: str, revision: str | None, access: Access = USUAL_ACCESS) -> Tree:
    """The files at a revision. Where the Hub cannot answer, and where it is not to be asked, what the cache knows.

    Raises:
        HubError: no such repository or revision, no access, or the Hub cannot be reached and the cache knows nothing.
        MissingDependency: huggingface_hub is not installed.
    """
    revision = checked_revision(repo_id, revision)
    with library(), explained(repo_id, revision):
        from huggingface_hub.constants import is_offline_mode
        from huggingface_hub.errors import OfflineModeIsEnabled

        try:
            if access.local_only or is_offline_mode():
                raise OfflineModeIsEnabled("HF_HUB_OFFLINE")
            return _of_hub(repo_id, revision, access)
        except Exception as error:
            tree = _of_cache(repo_id, revision, access) if cache_may_serve(error) else None
            if tree is None and access.local_only:
                raise HubError(not_cached(repo_id, revision, access)) from None
            if tree is None:
                raise
            return tree


def _of_hub(repo_id: str, revision: str, access: Access) -> Tree:
    from huggingface_hub import HfApi

    commit = resolve(repo_id, revision, access)
    api = HfApi(library_name=AGENT, token=access.token)
    entries = patiently(lambda: list(api.list_repo_tree(repo_id, recursive=True, revision=commit)))
    return Tree(repo_id, revision, commit, _files(repo_id, entries), access)


def _of_cache(repo_id: str, revision: str, access: Access) -> Tree | None:
    from huggingface_hub import get_cached_repo_tree
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    folder = cached_snapshot(repo_id, revision, ["*"], (), access.cache_dir, whole=False)
    if folder is None:
        return None
    try:
        entries = get_cached_repo_tree(repo_id, revision=folder.name, cache_dir=access.cache_dir)
    except CachedRepoTreeNotFoundError:
        return None
    return Tree(repo_id, revision, folder.name, _files(repo_id, entries), access)


def _files(repo_id: str, entries: Iterable[Any]) -> dict[str, RemoteFile]:
    """The files among the entries of a tree.

    Raises:
        HubError: a name leads out of the repository, or a file has no hash.
    """
    files = {}
    for entry in entries:
        blob = getattr(entry, "blob_id", None)  # a folder has none
        if blob is None:
            continue
        digest = Digest("git", blob) if entry.lfs is None else Digest("sha256", entry.lfs.sha256)
        if not _is_digest(digest) or not isinstance(entry.size, int) or entry.size < 0:
            raise HubError(f"{repo_id}: the Hub lists {entry.path!r} with the hash {digest.value!r}, which is none.")
        files[entry.path] = RemoteFile(entry.path, entry.size, digest)
    return {name: files[name] for name in checked_names(repo_id, files)}


def _is_digest(digest: Digest) -> bool:
    if digest.kind == "git":
        return isinstance(digest.value, str) and COMMIT.fullmatch(digest.value) is not None
    return isinstance(digest.value, str) and len(digest.value) == 64 and set(digest.value) <= set("0123456789abcdef")
