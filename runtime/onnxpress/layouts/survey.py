"""What a repository seems to hold, told by the names of its files alone; opening it tells for sure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from onnxpress.layouts import bare, optimum, transformers_js
from onnxpress.layouts.files import Files
from onnxpress.layouts.foreign import CONFIG
from onnxpress.layouts.graph_names import Variants, find_variants
from onnxpress.layouts.picture_files.settings import PREPROCESSOR
from onnxpress.layouts.table import LAYOUTS
from onnxpress.layouts.tokenizer_files import has_tokenizer

#: Folder of graphs -> whose layout that is.
_FOLDERS: Mapping[str, str] = {"": optimum.LAYOUT.name, "onnx/": transformers_js.LAYOUT.name}


@dataclass(frozen=True, slots=True)
class Survey:
    """`layout`: the name of its layout, "" if none fits; `variants`: precision -> the files of its graphs, weights
    beside them included; `lacks`: what is missing for it to be opened, None: nothing."""

    layout: str
    variants: Mapping[str, tuple[str, ...]]
    lacks: str | None


def survey(names: Collection[str]) -> Survey:
    """What these files seem to be."""
    files = Files(Path(), lambda: names)
    graphs = sorted(name for name in names if name.endswith(".onnx"))
    layout, variants = _variants(files)
    marked = next(
        (row.name for row in LAYOUTS if any(mark in files.names and mark != CONFIG for mark in row.marks)), ""
    )
    if not variants and len(graphs) == 1:
        layout, variants = bare.ONLY.name, bare.single(graphs[0])
    lacks = None
    if not graphs:
        lacks = "no ONNX graph"
    elif not variants and not marked:
        lacks = "no graph of a known name"
    elif not has_tokenizer(files.names) and PREPROCESSOR not in files.names:
        lacks = "no tokenizer"
    return Survey(marked or layout, {name: _files(files, graphs) for name, graphs in variants.items()}, lacks)


def _variants(files: Files) -> tuple[str, Variants]:
    for folder, layout in _FOLDERS.items():
        if variants := find_variants(files, folder):
            return layout, variants
    return "", {}


def _files(files: Files, graphs: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(name for file in graphs.values() for name in (file, *files.beside(file)))
