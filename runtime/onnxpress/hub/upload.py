"""Writes to a repository: what differs from it is uploaded, and becomes one commit on the commit it was compared with.

The library's uploader does the work: the Hub says of each file whether it is large, and large ones go to its store, by
Xet where the endpoint speaks it, else by git-lfs' protocol. Where the branch has moved meanwhile the Hub refuses the
commit, so that nobody's work is lost and nothing is half there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from onnxpress.errors import HubError, InputError
from onnxpress.hub.client import AGENT, patiently, uploading
from onnxpress.hub.failures import LOGIN, explained, has_moved
from onnxpress.hub.names import checked_names, checked_revision
from onnxpress.hub.quiet import bars_on_a_terminal, library
from onnxpress.hub.repository import Access
from onnxpress.hub.tree import Digest, Tree, git_id, list_tree


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A file to be in the repository. `content`: where it is, or what it holds."""

    name: str
    content: Path | bytes
    size: int
    sha256: str

    @staticmethod
    def of_bytes(name: str, content: bytes) -> Outgoing:
        """A file that is not on disk."""
        return Outgoing(name, content, len(content), hashlib.sha256(content).hexdigest())

    def is_at(self, digest: Digest) -> bool:
        """Whether the repository has it so."""
        if digest.kind == "sha256":
            return digest.value == self.sha256
        return digest.value == git_id(self.content if isinstance(self.content, bytes) else self.content.read_bytes())


@dataclass(frozen=True, slots=True)
class Difference:
    """What a push would change. `tree`: what it was compared with; None: there is no such repository yet."""

    repo_id: str
    revision: str
    tree: Tree | None
    changed: tuple[Outgoing, ...]
    unchanged: tuple[str, ...]
    removed: tuple[str, ...]

    @property
    def is_none(self) -> bool:
        """Whether the repository is so already."""
        return self.tree is not None and not self.changed and not self.removed


@dataclass(frozen=True, slots=True)
class Committed:
    """`commit`: 40 hexadecimal digits; `url`: its page; `pull_request`: the page of the one that was opened."""

    commit: str
    url: str
    pull_request: str | None = None


def check_token(access: Access) -> None:
    """Refuse to go on without a token.

    Raises:
        HubError: there is none.
    """
    with library():
        from huggingface_hub import get_token

        if access.token is False or not (access.token or get_token()):
            raise HubError(f"To write to the Hub a token is needed that may write: {LOGIN}.")


def find_tree(repo_id: str, revision: str | None, access: Access, *, private: bool) -> Tree | None:
    """What a repository holds that is to be written to; None: there is none.

    Args:
        private: whether it has to be private.

    Raises:
        HubError: no such revision, no access, or the Hub cannot be reached.
        InputError: it is public, and should be private.
    """
    revision = checked_revision(repo_id, revision)
    if "/" not in repo_id:
        raise HubError(f'{repo_id!r} does not say whose it is. Give "owner/name".')
    with library(), explained(repo_id, revision, purpose="write"):
        from huggingface_hub import HfApi
        from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

        api = HfApi(library_name=AGENT, token=access.token)
        try:
            info = patiently(lambda: api.model_info(repo_id))
        except GatedRepoError:
            raise
        except RepositoryNotFoundError:
            return None
        if private and not info.private:
            raise InputError(
                f"{repo_id} is there already, and is public. Leave private out, choose another name, or make it "
                "private on its page."
            )
        return list_tree(repo_id, revision, access)


def compare(
    repo_id: str, revision: str | None, tree: Tree | None, files: Collection[Outgoing], stale: Collection[str] = ()
) -> Difference:
    """What would change in a repository.

    Args:
        files: those that it shall hold, besides others'.
        stale: those that it need not hold any more.
    """
    checked_names(repo_id, (file.name for file in files))
    there = {} if tree is None else tree.files
    unchanged = {file.name for file in files if file.name in there and file.is_at(there[file.name].digest)}
    names = {file.name for file in files}
    return Difference(
        repo_id,
        revision or "main",
        tree,
        tuple(file for file in files if file.name not in unchanged),
        tuple(sorted(unchanged)),
        tuple(sorted(name for name in stale if name in there and name not in names)),
    )


def commit(
    difference: Difference, message: str, access: Access, *, private: bool = False, create_pr: bool = False
) -> Committed:
    """Make the difference one commit, or a pull request with it; the repository is made where there is none.

    Raises:
        HubError: the Hub refused, cannot be reached, or has another commit by now.
    """
    repo_id, revision, tree = difference.repo_id, difference.revision, difference.tree
    with library(), bars_on_a_terminal(), uploading(), explained(repo_id, revision, purpose="write"):
        from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete, HfApi

        api = HfApi(library_name=AGENT, token=access.token)
        if tree is None:
            if create_pr:
                raise HubError(f"{repo_id} is not there yet, so no pull request can be opened. Leave create_pr out.")
            # None: as its owner's settings say, which may be private.
            patiently(lambda: api.create_repo(repo_id, private=private or None, exist_ok=True))
            tree = list_tree(repo_id, revision, access)
        operations: list[CommitOperationAdd | CommitOperationCopy | CommitOperationDelete] = [
            *(
                CommitOperationAdd(file.name, file.content if isinstance(file.content, bytes) else str(file.content))
                for file in difference.changed
            ),
            *(CommitOperationDelete(name, is_folder=False) for name in difference.removed),
        ]
        parent = tree.commit
        try:
            answer = patiently(
                lambda: api.create_commit(
                    repo_id,
                    operations,
                    commit_message=message,
                    revision=revision,
                    create_pr=create_pr,
                    parent_commit=parent,
                )
            )
        except Exception as error:
            # The answer to a commit may have been lost, and the commit not.
            if not create_pr and has_moved(error):
                now = list_tree(repo_id, revision, access)
                if compare(repo_id, revision, now, difference.changed, difference.removed).is_none:
                    return Committed(now.commit, f"{api.endpoint}/{repo_id}/commit/{now.commit}")
            raise
        return Committed(answer.oid, answer.commit_url, answer.pr_url)
