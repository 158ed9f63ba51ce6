"""Reads modules.json, sentence-transformers' list of what a text goes through, and whose code each entry is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.source.fields import check_fields

#: The library whose modules are known by the names of their classes.
_PACKAGE = "sentence_transformers"

#: What runs the transformer; the second is an older name of one that fills masks.
TRANSFORMERS = ("Transformer", "MLMTransformer")

#: What has a table of tokens in the place of a transformer.
STATIC = "StaticEmbedding"

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
    """The entries of modules.json in the order of the file, which is the library's; empty if the folder has none.

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
    return tuple(SentenceModule(_ALIASES.get(kind, kind), folder / relative) for kind, relative in modules)


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
