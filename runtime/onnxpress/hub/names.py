"""Checks the names of repositories, revisions and files, before paths are made of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from onnxpress.errors import HubError
from onnxpress.suggestions import nearest

COMMIT = re.compile(r"[0-9a-f]{40}")

# "name" or "organization/name": ASCII letters, digits, "_", "-" and ".", at most 96 a part, the last two only inside.
_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?"
_REPO_ID = re.compile(rf"(?:{_PART}/)?{_PART}")
_OUTSIDE = re.compile(r"(?:^|[/\\])\.\.(?:$|[/\\])|^[/\\]|(?:^|/)[A-Za-z]:")


def looks_like_repo_id(source: str) -> bool:
    """Whether `source` is "name" or "organization/name" by the Hub's rules. Asks neither the network nor the disk."""
    return (
        isinstance(source, str)
        and _REPO_ID.fullmatch(source) is not None
        and "--" not in source
        and ".." not in source
        and not source.endswith(".git")
    )


def no_folder(repo_id: str) -> str:
    """A sentence to follow one about a repository that is not to be had: a folder may have been meant."""
    path = Path(repo_id)
    try:
        beside = [entry.name for entry in path.parent.iterdir() if entry.is_dir()]
    except OSError:
        beside = []
    name = nearest(path.name, beside)
    meant = "" if name is None else f" Did you mean the folder {str(path.with_name(name))!r}?"
    return f" There is no folder {repo_id} here, either.{meant}"


def checked_revision(repo_id: str, revision: str | None) -> str:
    if not looks_like_repo_id(repo_id):
        raise HubError(f'{repo_id!r} is not the name of a repository on the Hub. Give "name" or "organization/name".')
    if revision is None:
        return "main"
    if not revision or _OUTSIDE.search(revision) or not revision.isprintable():
        raise HubError(f"{repo_id}: {revision!r} is not a revision. Give a branch, a tag or a commit.")
    return revision


def checked_names(repo_id: str, names: Iterable[str]) -> tuple[str, ...]:
    listed = tuple(sorted(names))
    for name in listed:
        if _OUTSIDE.search(name):
            raise HubError(
                f"{repo_id}: the Hub lists a file {name!r}, whose name leads out of the repository. Do not trust it."
            )
    return listed
