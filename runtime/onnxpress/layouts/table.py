"""Every layout, in the order in which they are tried, and the reading of files by the first that knows them."""

from __future__ import annotations

from onnxpress.errors import MissingFile, UnsupportedFormat
from onnxpress.format.manifest import FILE_NAME
from onnxpress.format.model import Model
from onnxpress.layouts import onnxpress_json, optimum, transformers_js
from onnxpress.layouts.files import Files
from onnxpress.layouts.layout import Asked, Layout

LAYOUTS: tuple[Layout, ...] = (onnxpress_json.LAYOUT, optimum.LAYOUT, transformers_js.LAYOUT)


def read_files(files: Files, asked: Asked) -> Model:
    """What a folder, or a repository on the Hub, holds.

    Raises:
        MissingFile: there is no graph.
        UnsupportedFormat: there are graphs, and no layout knows them.
        ArtifactError: a layout knows it, and it is damaged.
    """
    for layout in LAYOUTS:
        if (model := layout.read(files, asked)) is not None:
            return model
    graphs = sorted(name for name in files.names if name.endswith(".onnx"))
    if graphs:
        shown = ", ".join(graphs[:6]) + (", ..." if len(graphs) > 6 else "")
        raise UnsupportedFormat(
            f"{files.folder}: it holds ONNX graphs ({shown}), laid out in no way that is known here. Looked for are "
            "model.onnx and onnx/model.onnx, with a precision's suffix or without: rename the graph you want."
        )
    raise MissingFile(
        f"{files.folder}: no {FILE_NAME} here, so it is not an onnxpress artifact, and no ONNX graph. "
        f"{_what_to_do_with(files)}"
    )


def _what_to_do_with(files: Files) -> str:
    if "config.json" in files.names:
        return f"It looks like a checkpoint: turn it into an artifact with `onnxpress export {files.folder} OUT`."
    return "Give the folder that `onnxpress export` wrote."
