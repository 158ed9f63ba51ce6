"""Reads modules.json, sentence-transformers' list of what a text goes through, and whose code each entry is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.source.fields import check_fields
from onnxpress_exporter.source.routers import KINDS as ROUTERS
from onnxpress_exporter.source.routers import Routes, Step, read_router

#: The library whose modules are known by the names of their classes.
_PACKAGE = "sentence_transformers"

#: What runs the transformer; the second is an older name of one that fills masks.
TRANSFORMERS = ("Transformer", "MLMTransformer")

#: What has a table of tokens in the place of a transformer.
STATIC = "StaticEmbedding"

#: What has a table of weights of tokens, for queries of sparse encoders.
SPARSE_STATIC = "SparseStaticEmbedding"

#: Modules of other packages that the library reads as its own.
_ALIASES = {"pylate.models.Dense.Dense": "sentence_transformers.base.modules.dense.Dense"}

#: `kwargs`: names of arguments that a call may pass on to the module; without them it does what it always does.
_FIELDS = ("idx", "kwargs", "name", "path", "type")


@dataclass(frozen=True, slots=True)
class SentenceModule:
    """One entry of modules.json: its class with its package, and the folder of its files."""

    type: str
    folder: Path

    @property
    def kind(self) -> str:
        """The class name without its package: it means something only in sentence-transformers' own."""
        return self.type.rpartition(".")[2]


def sentence_modules(folder: Path) -> tuple[SentenceModule, ...]:
    """The entries of modules.json in the order of the file, which is the library's; empty if the folder has none. Of a
    Router those of documents.

    Raises:
        UnsupportedCheckpoint: it is no list of modules, or reaches out of the folder.
    """
    path = folder / "modules.json"
    if not path.is_file():
        return ()
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(entries, list) or not entries:
            raise TypeError("expected a list with something in it")
        modules = [(str(entry["type"]), str(entry.get("path", ""))) for entry in entries]
        names = [str(entry.get("name", number)) for number, entry in enumerate(entries)]
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UnsupportedCheckpoint(f"{path} is not a list of modules: {error}.") from error
    for entry in entries:
        check_fields(entry, _FIELDS, path)
    if len(set(names)) != len(names):
        raise UnsupportedCheckpoint(f"{path}: two modules have one name ({', '.join(names)}).")
    root = folder.resolve()
    for _, relative in modules:
        if not (root / relative).resolve().is_relative_to(root):
            raise UnsupportedCheckpoint(f"{path} names a folder outside its own: {relative!r}.")
    return tuple(chain.from_iterable(_expanded(kind, folder / relative) for kind, relative in modules))


def _expanded(kind: str, folder: Path) -> Sequence[SentenceModule]:
    """A module; of one that has other modules for each role of a text, those of documents."""
    if _is_router(kind):
        return [SentenceModule(_ALIASES.get(inner, inner), place) for inner, place in read_router(folder).documents]
    return [SentenceModule(_ALIASES.get(kind, kind), folder)]


def query_modules(folder: Path) -> tuple[SentenceModule, ...]:
    """What a query goes through, where that is something else than what a document does; empty otherwise.

    Raises:
        UnsupportedCheckpoint: as of `sentence_modules`; or a Router is not the first of the modules.
    """
    routes, after = _routes(folder)
    if routes is None or not routes.apart:
        return ()
    steps = (*routes.queries, *after)
    return tuple(SentenceModule(_ALIASES.get(kind, kind), place) for kind, place in steps)


def queries_are_usual(folder: Path) -> bool:
    """Whether a text without a role is read as a query."""
    routes, _ = _routes(folder)
    return routes is not None and routes.queries_usual


def _routes(folder: Path) -> tuple[Routes | None, list[Step]]:
    """What a Router says, and the modules after it; None: there is no Router.

    Raises:
        UnsupportedCheckpoint: it is not the first module.
    """
    if not sentence_modules(folder):
        return None, []
    entries = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    steps = [(str(entry["type"]), folder / str(entry.get("path", ""))) for entry in entries]
    routers = [place for place, (kind, _) in enumerate(steps) if _is_router(kind)]
    if not routers:
        return None, []
    if routers != [0]:
        raise UnsupportedCheckpoint(
            f"{folder / 'modules.json'}: its Router is not the first of its modules, or not the only one; only such a "
            "one can be exported."
        )
    return read_router(steps[0][1]), steps[1:]


def _is_router(kind: str) -> bool:
    return kind.partition(".")[0] == _PACKAGE and kind.rpartition(".")[2] in ROUTERS


def transformer_folder(folder: Path) -> Path:
    """Where the transformer's config and weights are: often `folder`, in old layouts below it."""
    modules = sentence_modules(folder)
    if not modules or ((folder / "config.json").is_file() and modules[0].folder == folder):
        return folder
    if modules[0].kind not in (*TRANSFORMERS, STATIC):
        raise UnsupportedCheckpoint(
            f"{folder / 'modules.json'} begins with {modules[0].kind}; only Transformer and {STATIC} are supported."
        )
    return modules[0].folder


def check_origin(folder: Path, modules: Sequence[SentenceModule]) -> None:
    """Refuse modules whose code is not sentence-transformers' own: their names say nothing of what they do.

    Trust changes nothing here: the author's class of a model can be loaded and traced, while what a module does with a
    text (which tokens it reads, which it pools, for which prompt) would have to be the runtime's.

    Raises:
        UnsupportedCheckpoint: there is one; the message names it.
    """
    for module in modules:
        package = module.type.partition(".")[0]
        if package != _PACKAGE:
            authors = "." not in module.type or (folder / f"{package}.py").is_file() or (folder / package).is_dir()
            whose = "code of the checkpoint's own" if authors else f"code of the package {package}"
            raise UnsupportedCheckpoint(
                f"{folder / 'modules.json'}: the module {module.type} is {whose}, not of {_PACKAGE}. It cannot be "
                "exported, trusted or not: trust_remote_code=True lets the author's class of the transformer run while "
                "it is traced, and what modules do with its vectors is done by the runtime, which knows those of "
                f"{_PACKAGE} alone. The transformer alone can be exported, for vectors of tokens: --task "
                "feature-extraction."
            )
