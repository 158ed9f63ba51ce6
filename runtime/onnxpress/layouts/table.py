"""Every layout, in the order in which they are tried, and the reading of files by the first that knows them."""

from __future__ import annotations

from onnxpress.errors import MissingFile
from onnxpress.format.manifest import FILE_NAME
from onnxpress.format.model import Model
from onnxpress.layouts import bare, exporters, genai, olive, onnxpress_json, optimum, transformers_js
from onnxpress.layouts.files import Files
from onnxpress.layouts.layout import Asked, Layout

LAYOUTS: tuple[Layout, ...] = (
    onnxpress_json.LAYOUT,
    genai.LAYOUT,
    exporters.LAYOUT,
    olive.LAYOUT,
    bare.NAMED,
    optimum.LAYOUT,
    transformers_js.LAYOUT,
    bare.ONLY,
)

#: Files by which the layouts are known.
MARKS: tuple[str, ...] = tuple(dict.fromkeys(mark for layout in LAYOUTS for mark in layout.marks))


def read_files(files: Files, asked: Asked) -> Model:
    """What a folder, or a repository on the Hub, holds.

    Raises:
        MissingFile: there is no graph.
        UnsupportedFormat: there are several graphs, and nothing tells what they are.
        ArtifactError: a layout knows it, and it is damaged.
    """
    for layout in LAYOUTS:
        if (model := layout.read(files, asked)) is not None:
            return model
    raise MissingFile(
        f"{files.folder}: no {FILE_NAME} here, so it is not an onnxpress artifact, and no ONNX graph. "
        f"{_what_to_do_with(files)}"
    )


def _what_to_do_with(files: Files) -> str:
    if "config.json" in files.names:
        return f"It looks like a checkpoint: turn it into an artifact with `onnxpress export {files.folder} OUT`."
    return "Give the folder that `onnxpress export` wrote."
