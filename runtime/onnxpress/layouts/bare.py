"""Graph files that the caller names, or a folder's only one, whatever it is called."""

from __future__ import annotations

from pathlib import PurePosixPath

from onnxpress.errors import MissingFile, UnsupportedFormat
from onnxpress.format.model import Model
from onnxpress.format.precisions import REFERENCE, SUFFIXES, suffix_of
from onnxpress.layouts.files import Files
from onnxpress.layouts.foreign import CONFIG, describe
from onnxpress.layouts.graph_names import KINDS, MODEL, Variants, find_variants
from onnxpress.layouts.head_files import HEAD_FILE
from onnxpress.layouts.layout import Asked, Layout

_SHOWN = 12


def read_named(files: Files, asked: Asked) -> Model | None:
    """The model of the graph files that the caller names, or of those in the folder that is named; None: of none.

    Raises:
        MissingFile: there is no such file.
    """
    if asked.files:
        variants = _variant([_found(files, name, asked.folder) for name in asked.files], files)
        return describe(files, NAMED.name, variants, asked)
    if asked.folder and _graphs(files, asked.folder):
        variants = find_variants(files, asked.folder) or _only(files, asked.folder)
        return describe(files, NAMED.name, variants, asked)
    return None


def read_only(files: Files, asked: Asked) -> Model | None:
    """The model of the only graph file that there is; None: there is none.

    Raises:
        UnsupportedFormat: there are several.
    """
    return describe(files, ONLY.name, _only(files, ""), asked) if _graphs(files, "") else None


def _graphs(files: Files, folder: str) -> list[str]:
    graphs = (name for name in files.names if name.endswith(".onnx") and name != HEAD_FILE)
    return sorted(name for name in graphs if name.startswith(folder))


def _only(files: Files, folder: str) -> Variants:
    graphs = _graphs(files, folder)
    if len(graphs) > 1:
        raise UnsupportedFormat(
            f"{files.folder}: none of its {len(graphs)} ONNX graphs has a name that tells what it is. Name one: "
            f"file_name={_choices(graphs)}."
        )
    return single(graphs[0])


def single(graph: str) -> Variants:
    """The variants of a folder with one graph file, whatever it is called."""
    return {suffix_of(PurePosixPath(graph).stem).name: {MODEL: graph}}


def _choices(graphs: list[str]) -> str:
    return " or ".join(map(repr, graphs[:_SHOWN])) + (f", or {len(graphs) - _SHOWN} more" * (len(graphs) > _SHOWN))


def _found(files: Files, name: str, folder: str) -> str:
    """The file that is meant by a name with its folder or without."""
    usual = next((place for place in (f"{folder}{name}", name, f"onnx/{name}") if place in files.names), None)
    if usual is not None:
        return usual
    graphs = _graphs(files, folder)
    ending = [place for place in graphs if place.endswith(f"/{name}")]
    if len(ending) == 1:
        return ending[0]
    among = ending or graphs
    there = f"There is {_choices(among)}." if among else "There is no ONNX graph at all."
    raise MissingFile(f"{files.folder / folder / name}: there is no such graph file. {there}")


def _variant(named: list[str], files: Files) -> Variants:
    """The named files as one variant; what one file of several graphs lacks is the one of the same suffix, or fp32."""
    stems = {PurePosixPath(name).stem: name for name in named}
    rows = {stem: suffix_of(stem) for stem in stems}
    bases = {stem.removesuffix(rows[stem].suffix): name for stem, name in stems.items()}
    suffixes = (*(rows[stem].suffix for stem in stems), SUFFIXES[REFERENCE].suffix)
    folder = named[0].rpartition("/")[0]
    for graphs in KINDS:
        if len(graphs) == 1 or not any(base in names for names in graphs.values() for base in bases):
            continue
        whole = {}
        for graph, names in graphs.items():
            places = [bases[base] for base in names if base in bases]
            places += [
                f"{folder}/{base}{suffix}.onnx".removeprefix("/")
                for suffix in suffixes
                for base in names
                if base not in bases
            ]
            file = next((place for place in places if place in files.names), None)
            if file is not None:
                whole[graph] = file
        if len(whole) == len(graphs) and set(named) <= set(whole.values()):
            return {rows[next(reversed(stems))].name: whole}
    if len(named) > 1:
        raise UnsupportedFormat(
            f"{files.folder}: {', '.join(named)} are not the graphs of one model. Name one of them."
        )
    return {next(iter(rows.values())).name: {MODEL: named[0]}}


NAMED = Layout("named file", (CONFIG,), read_named)
ONLY = Layout("single graph", (CONFIG,), read_only)
