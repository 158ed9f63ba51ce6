"""Reads a Router, sentence-transformers' module that has other modules for a text in each of its roles."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.source.fields import check_fields, object_in
from onnxpress_exporter.source.weights import read_json

#: The module, and an older name of it.
KINDS = ("Router", "Asym")
QUERY, DOCUMENT = "query", "document"

_FILE, _OLDER_FILE = "router_config.json", "config.json"
_PARAMETERS = ("allow_empty_key", "default_route", "route_mappings")
_TEXT = "text"

#: A module's class, and the folder of its files.
Step = tuple[str, Path]


@dataclass(frozen=True, slots=True)
class Routes:
    """What a text goes through as a document and as a query; the same where only one way is there. `queries_usual`:
    whether a text without a role goes the way of queries."""

    documents: tuple[Step, ...]
    queries: tuple[Step, ...]
    queries_usual: bool

    @property
    def apart(self) -> bool:
        """Whether queries go another way than documents."""
        return self.documents != self.queries


def read_router(folder: Path) -> Routes:
    """The ways of texts in a Router's folder.

    Raises:
        UnsupportedCheckpoint: its file is not understood, names a folder outside its own, or has a way that no text
            goes.
    """
    path = next((folder / name for name in (_FILE, _OLDER_FILE) if (folder / name).is_file()), folder / _FILE)
    content = read_json(path)
    check_fields(content, ("parameters", "structure", "types"), path)
    types, structure, parameters = (object_in(content, name, path) for name in ("types", "structure", "parameters"))
    check_fields(parameters, _PARAMETERS, path)
    root = folder.resolve()
    if outside := [name for name in types if not (root / str(name)).resolve().is_relative_to(root)]:
        raise UnsupportedCheckpoint(f"{path} names a folder outside its own: {outside[0]!r}.")
    chosen = {role: _resolved(role, structure, parameters, path) for role in (DOCUMENT, QUERY, None)}
    if unreached := sorted(set(structure) - set(chosen.values())):
        raise UnsupportedCheckpoint(
            f"{path}: the route {unreached[0]!r} is of neither queries nor documents that are texts; a Router can be "
            "exported whose routes are."
        )
    documents, queries = (_steps(structure[chosen[role]], types, folder, path) for role in (DOCUMENT, QUERY))
    return Routes(documents, queries, chosen[None] == chosen[QUERY] != chosen[DOCUMENT])


def _resolved(role: str | None, structure: Mapping[str, Any], parameters: Mapping[str, Any], path: Path) -> str:
    """The route of a text in a role, in the library's order of rules."""
    mappings = {_key(key, path): route for key, route in object_in(parameters, "route_mappings", path).items()}
    keys = ((role, _TEXT), (role, None), (None, _TEXT), (None, None))
    usual = parameters.get("default_route")
    if usual is None and parameters.get("allow_empty_key", True):
        usual = next(iter(structure), None)
    named = (name for name in (*(mappings.get(key) for key in keys), role, _TEXT) if name in structure)
    route = next(named, None if role is not None else usual)
    if route not in structure:
        what = f"a {role}" if role else "a text without a role"
        raise UnsupportedCheckpoint(f"{path}: there is no route for {what}, of: {', '.join(structure) or 'none'}.")
    return str(route)


def _key(text: str, path: Path) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        raise UnsupportedCheckpoint(f"{path}: route_mappings has {text!r:.60}, which is no role and kind.") from None


def _steps(names: Any, types: Mapping[str, Any], folder: Path, path: Path) -> tuple[Step, ...]:
    if not isinstance(names, list) or not names or any(name not in types for name in names):
        raise UnsupportedCheckpoint(f"{path}: the route {names!r:.60} is no list of its modules.")
    return tuple((str(types[name]), folder / str(name)) for name in names)


@contextmanager
def as_model(steps: tuple[Step, ...], settings: Path) -> Iterator[Path]:
    """A folder that has these modules alone, one after the other, and a whole model's settings: links to their files.

    Args:
        settings: the file of the whole model's settings.
    """
    with TemporaryDirectory(prefix="onnxpress-route-") as name:
        folder, entries = Path(name), []
        for number, (kind, place) in enumerate(steps):
            entries.append({"idx": number, "name": str(number), "path": str(number), "type": kind})
            (folder / str(number)).mkdir()
            for file in place.iterdir() if place.is_dir() else ():
                (folder / str(number) / file.name).symlink_to(file.resolve())
        (folder / "modules.json").write_text(json.dumps(entries), encoding="utf-8")
        if settings.is_file():
            (folder / settings.name).symlink_to(settings.resolve())
        yield folder
