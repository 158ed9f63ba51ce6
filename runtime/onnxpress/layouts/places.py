"""From what a caller names, a folder, a graph file or a repository on the Hub, to the files of a model."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from glob import escape
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from onnxpress.errors import InputError, MissingFile
from onnxpress.format.contents import at_home
from onnxpress.format.manifest import FILE_NAME
from onnxpress.layouts.files import Files
from onnxpress.layouts.layout import Asked
from onnxpress.layouts.tokenizer_files import TOKENIZER, is_tokenizer_file, usual_name

if TYPE_CHECKING:
    from onnxpress.hub import Access, Snapshot

_CONFIG, _GRAPH = "config.json", ".onnx"
#: What counts as the model's, too, where a tokenizer comes from and the model has none: what ends a text, for one.
_BESIDE = (_CONFIG, "generation_config.json")
#: Where tools put graphs, below the files that say what they are.
_GRAPHS = "onnx"


@dataclass(frozen=True, slots=True)
class Place:
    """The files of a model, and what the caller says of them. `snapshot`: where they are in the Hub's cache."""

    files: Files
    asked: Asked
    snapshot: Snapshot | None = None

    @property
    def is_ours(self) -> bool:
        """Whether there is a manifest."""
        return (self.files.folder / FILE_NAME).exists()

    def with_tokenizer(self, path: Path) -> Place:
        """The same files, with the tokenizer that the caller has at `path` in the place of theirs.

        Raises:
            InputError: there is none.
        """
        return replace(self, files=_with_tokenizer(self.files, path))


def find_place(
    source: str | Path, asked: Asked, *, revision: str | None, access: Access | None, subfolder: str | None
) -> Place:
    """Where a model's files are; of a repository, what says what it is has been fetched.

    Raises:
        MissingFile: there is neither such a folder nor such a file, and it is not a name on the Hub.
        InputError: the subfolder is none.
        HubError: the Hub refused or cannot be reached.
    """
    path, below = at_home(source), _plain(subfolder)
    if path.is_dir():
        if (inside := _inside(path)) is not None:
            raise MissingFile(inside)
        return _in_folder(path, asked, below)
    if path.suffix == _GRAPH:
        return _of_graph(path, asked)
    return _on_hub(source, path, asked, revision, access, below)


def tokenizer_place(value: str | Path, access: Access | None = None, revision: str | None = None) -> Path:
    """A folder with a tokenizer's files, or one of them: the caller's, or one of the Hub, fetched.

    Raises:
        InputError: there is none.
        HubError: the Hub refused or cannot be reached.
    """
    path = at_home(value)
    if path.exists():
        return path
    from onnxpress import hub

    if isinstance(value, str) and hub.looks_like_repo_id(value):
        names = [
            name for name in hub.list_files(value, revision, access or hub.USUAL_ACCESS) if is_tokenizer_file(name)
        ]
        if names:
            patterns = [*map(escape, names), *_BESIDE]
            return hub.fetch(value, revision, patterns, access=access or hub.USUAL_ACCESS).folder
    raise InputError(f"tokenizer={str(value)!r}: there is no tokenizer. Pass a folder, or a {TOKENIZER}.")


def link_roots(folder: Path) -> tuple[Path, ...]:
    """Where the Hub's cache keeps the files that its snapshots link to; nothing for any other folder."""
    for place in (folder.absolute(), *folder.absolute().parents[:3]):
        if place.parent.name == "snapshots":
            from onnxpress import hub

            return tuple(root.resolve() for root in hub.blob_roots(place))
    return ()


def _plain(subfolder: str | None) -> str:
    """A subfolder as "" or a path that ends in "/"."""
    if subfolder in (None, "", "."):
        return ""
    path = PurePosixPath(str(subfolder))
    if path.is_absolute() or ".." in path.parts or "\\" in str(subfolder):
        raise InputError(f"subfolder={subfolder!r} is not a folder inside the model's.")
    return f"{path}/"


def _in_folder(path: Path, asked: Asked, below: str) -> Place:
    if below and not (path / below).is_dir():
        raise MissingFile(f"{path / below}: there is no such folder. Check subfolder={below[:-1]!r}.")
    if below and _is_whole(path / below):
        return Place(Files(path / below, link_roots=link_roots(path)), asked)
    return Place(Files(path, link_roots=link_roots(path)), replace(asked, folder=below))


def _is_whole(folder: Path) -> bool:
    """Whether a folder says itself what it is."""
    from onnxpress.layouts.table import MARKS

    return any((folder / mark).is_file() for mark in MARKS)


def _of_graph(path: Path, asked: Asked) -> Place:
    """The place of one graph file, with what lies beside it, or above it where tools put graphs into a folder."""
    if not path.is_file():
        raise MissingFile(f"{path}: there is no such file.")
    if artifact_of(path) is not None:
        raise MissingFile(_no_folder(path))
    folder = path.absolute().parent
    if folder.name == _GRAPHS and any((folder.parent / name).is_file() for name in (_CONFIG, TOKENIZER)):
        folder = folder.parent
    name = path.absolute().relative_to(folder).as_posix()

    def names() -> Iterator[str]:
        yield name
        for pattern in ("*", f"{_GRAPHS}/*", "*/*.json", "*/*.safetensors"):
            yield from (place.relative_to(folder).as_posix() for place in folder.glob(pattern) if place.is_file())

    return Place(Files(folder, names, link_roots=link_roots(folder)), replace(asked, files=(name,)))


def _on_hub(
    source: str | Path, path: Path, asked: Asked, revision: str | None, access: Access | None, below: str
) -> Place:
    from onnxpress import hub
    from onnxpress.layouts.table import MARKS

    if not isinstance(source, str) or path.is_file() or not hub.looks_like_repo_id(source):
        raise MissingFile(_no_folder(path))
    patterns = [*MARKS, *(f"{escape(below)}{mark}" for mark in MARKS if below)]
    snapshot = hub.fetch(source, revision, patterns, access=access or hub.USUAL_ACCESS)
    inner = below if below and _is_whole(snapshot.folder / below) else ""

    def bring(names: Collection[str]) -> None:
        hub.fetch(source, snapshot.commit, [escape(inner + name) for name in names], access=snapshot.access)

    def names() -> Iterator[str]:
        for name in hub.list_files(source, snapshot.commit, access=snapshot.access):
            if name.startswith(inner):
                yield name.removeprefix(inner)

    files = Files(snapshot.folder / inner, names, bring, link_roots(snapshot.folder), source=source)
    return Place(files, replace(asked, folder="" if inner else below), snapshot)


def _with_tokenizer(files: Files, path: Path) -> Files:
    """The files with the tokenizer that the caller has, in the place of the folder's."""
    folder = path if path.is_dir() else path.parent
    beside = {name: folder / name for name in map(_name, sorted(folder.iterdir())) if is_tokenizer_file(name)}
    if not path.is_dir():
        name = usual_name(path.name)
        if name != TOKENIZER:
            beside.pop(TOKENIZER, None)
        beside[name] = path
    if not beside:
        raise InputError(f"tokenizer={str(path)!r}: there is no tokenizer in it. Pass a folder, or a {TOKENIZER}.")
    for name in _BESIDE:
        if name not in files.names and (folder / name).is_file():
            beside[name] = folder / name
    return files.with_elsewhere(beside, is_tokenizer_file)


def _name(path: Path) -> str:
    return path.name


def artifact_of(path: Path) -> Path | None:
    """The artifact of ours that holds a file; None: there is none."""
    return next((parent for parent in path.absolute().parents[:2] if (parent / FILE_NAME).is_file()), None)


def _no_folder(path: Path) -> str:
    """Why nothing can be opened there, and what to open instead."""
    if not path.is_file():
        return f"{path}: there is no such folder, and it is not a Hub id either."
    holding = artifact_of(path)
    return f"{path} is a file. Give the folder that holds the artifact" + (f": {holding}" if holding else ".")


def _inside(folder: Path) -> str | None:
    """What to open instead of the folder of graphs that an artifact of ours has."""
    above = folder.absolute().parent
    if (folder / FILE_NAME).exists() or not (above / FILE_NAME).is_file() or (folder / "config.json").exists():
        return None
    return f"{folder} is a part of an artifact. Give the folder that holds the artifact: {above}"
