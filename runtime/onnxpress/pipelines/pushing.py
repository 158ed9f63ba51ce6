"""`push()`: an artifact to a repository on the Hub, with its card, as one commit."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from onnxpress import __version__
from onnxpress.errors import ArtifactError, HubError, InputError
from onnxpress.format.front_matter import CARD
from onnxpress.format.hashing import sha256 as sha256_of
from onnxpress.format.manifest import FILE_NAME, MAX_MANIFEST_BYTES, parse
from onnxpress.layouts.artifact import Artifact
from onnxpress.pipelines.card import is_verified, published_card

if TYPE_CHECKING:
    from onnxpress.hub import Access, Outgoing, Tree

#: Text files up to this size are looked through for what is nobody's business.
_LOOKED_THROUGH_BYTES = 1 << 20
_TEXTS = (".json", ".md", ".txt", ".jinja")

_TOKEN = re.compile(rb"\bhf_[A-Za-z0-9]{30,}\b")


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push did, or would do.

    `uploaded`: name -> bytes; `commit`: None if nothing was to be done in a repository that is not there;
    `shortened`: files in which a path of this machine was cut down to its last part.
    """

    repo_id: str
    revision: str
    created: bool
    uploaded: Mapping[str, int]
    unchanged: tuple[str, ...]
    removed: tuple[str, ...]
    shortened: tuple[str, ...]
    commit: str | None
    url: str | None
    pull_request: str | None
    dry_run: bool

    @property
    def bytes(self) -> int:
        """Those that are uploaded."""
        return sum(self.uploaded.values())


def push(
    artifact: str | Path | Artifact,
    repo_id: str,
    *,
    revision: str | None = None,
    private: bool = False,
    message: str | None = None,
    create_pr: bool = False,
    unverified: bool = False,
    dry_run: bool = False,
    token: str | None = None,
) -> Pushed:
    """Push an artifact to the Hub: the files that its manifest names, the manifest and the card, as one commit.

    What the repository has already is not sent again; a file that an earlier manifest there names, and this one does
    not, is removed by the same commit; files of others stay.

    Args:
        artifact: a folder, or an `Artifact`.
        repo_id: "organization/name"; it is made if it is not there.
        revision: the branch; None: "main".
        private: make it a private one; refused if it is public.
        message: of the commit.
        create_pr: open a pull request instead of writing to the branch.
        unverified: push what was never compared with its original, too: another tool's folder, for example.
        dry_run: say what would be done.
        token: of this call; None: the one that is saved or set in the environment.

    Raises:
        InputError: it was never compared with its original; or it holds a token of the Hub.
        CorruptFile: a file is not what the manifest says.
        HubError: the Hub refused, cannot be reached, or has another commit by now.
    """
    from onnxpress import hub

    opened = artifact if isinstance(artifact, Artifact) else Artifact.open(artifact)
    access = hub.Access(token)
    _check_trust(opened, unverified)
    hub.check_token(access)
    files, shortened = _outgoing(opened, repo_id)
    tree = hub.find_tree(repo_id, revision, access, private=private)
    stale = () if tree is None or opened.adopted is not None else _named_there(tree, access)
    difference = hub.compare(repo_id, revision, tree, files, stale)
    done = None
    if not dry_run and not difference.is_none:
        summary = message or f"{opened.manifest.task or 'A model'} by onnxpress {__version__}"
        done = hub.commit(difference, summary, access, private=private, create_pr=create_pr)
    there = None if tree is None else tree.commit
    return Pushed(
        repo_id=repo_id,
        revision=difference.revision,
        created=tree is None and not dry_run,
        uploaded={file.name: file.size for file in difference.changed},
        unchanged=difference.unchanged,
        removed=difference.removed,
        shortened=shortened,
        commit=there if done is None else done.commit,
        url=None if done is None else done.url,
        pull_request=None if done is None else done.pull_request,
        dry_run=dry_run,
    )


def _check_trust(artifact: Artifact, unverified: bool) -> None:
    """Refuse what was never compared with its original.

    Raises:
        InputError: it was not, and nobody said that this is known.
    """
    if unverified or (artifact.trust == "verified" and is_verified(artifact.manifest)):
        return
    if artifact.adopted is not None:
        why = f"it is laid out as {artifact.adopted.layout} does, and has no manifest"
    else:
        names = [name for name, variant in artifact.manifest.variants.items() if variant.quality is None]
        why = f"of {', '.join(names) or 'its variants'} nothing was measured"
    raise InputError(
        f"{artifact.folder} was never compared with its original: {why}. Export the checkpoint with `onnxpress "
        "export`, or pass unverified=True to push it all the same."
    )


def _outgoing(artifact: Artifact, repo_id: str) -> tuple[list[Outgoing], tuple[str, ...]]:
    """The files to be in the repository, each checked, and the names of those that differ from the folder's.

    Raises:
        InputError: one holds a token of the Hub.
        CorruptFile: one is not what the manifest says.
    """
    from onnxpress.hub import Outgoing

    artifact.fetch(artifact.manifest.variants)
    files: dict[str, Outgoing] = {}
    shortened = []
    for name in artifact.manifest.files:
        if name == CARD or name in artifact.elsewhere:
            continue
        path = artifact.file(name)
        files[name] = Outgoing(name, path, path.stat().st_size, artifact.manifest.files[name].sha256 or sha256_of(path))
        if name.endswith(_TEXTS) and files[name].size <= _LOOKED_THROUGH_BYTES:
            content = path.read_bytes()
            _check_secrets(content, path)
            if name.endswith(".json") and (public := _without_paths(content)) != content:
                files[name] = Outgoing.of_bytes(name, public)
                shortened.append(name)
    place = artifact.folder / CARD
    text = place.read_text(encoding="utf-8", errors="replace") if place.is_file() else None
    card = published_card(artifact.manifest, text, repo_id).encode()
    _check_secrets(card, place)
    files[CARD] = Outgoing.of_bytes(CARD, card)
    if artifact.adopted is None:
        files[FILE_NAME] = Outgoing.of_bytes(FILE_NAME, _manifest(artifact, files, [CARD, *shortened]))
    return list(files.values()), tuple(shortened)


def _manifest(artifact: Artifact, files: Mapping[str, Outgoing], changed: Collection[str]) -> bytes:
    """The manifest with the hashes of what is pushed, all else as it is on disk."""
    path = artifact.folder / FILE_NAME
    value = json.loads(path.read_bytes())
    for name in changed:
        value["files"][name] = {"bytes": files[name].size, "sha256": files[name].sha256}
    text = (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
    _check_secrets(text, path)
    return _without_paths(text)


def _check_secrets(content: bytes, path: Path) -> None:
    if _TOKEN.search(content):
        raise InputError(
            f"{path}: holds what looks like a token of the Hub. Nothing was pushed. Take it out, and revoke the token."
        )


def _without_paths(content: bytes) -> bytes:
    """JSON text with paths below this user's home cut down to their last part."""
    home = str(Path.home()).rstrip("/").encode()
    if not home:
        return content
    return re.sub(
        rb'"' + re.escape(home) + rb'(?:/([^"\\]*))?"',
        lambda match: b'"' + (match[1] or b"").rstrip(b"/").rpartition(b"/")[2] + b'"',
        content,
    )


def _named_there(tree: Tree, access: Access) -> set[str]:
    """The files that the manifest in the repository names; none where there is no valid one."""
    from onnxpress import hub

    if FILE_NAME not in tree.files or tree.files[FILE_NAME].bytes > MAX_MANIFEST_BYTES:
        return set()
    folder = hub.fetch(tree.repo_id, tree.commit, [FILE_NAME], access=access).folder
    try:
        return set(parse((folder / FILE_NAME).read_bytes()).files)
    except (ArtifactError, HubError):
        return set()
