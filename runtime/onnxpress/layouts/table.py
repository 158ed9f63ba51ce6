"""Every layout, in the order in which they are tried, and the reading of a folder by the first that knows it."""

from __future__ import annotations

from pathlib import Path

from onnxpress.errors import MissingFile
from onnxpress.format.manifest import FILE_NAME
from onnxpress.format.model import Model
from onnxpress.layouts import onnxpress_json
from onnxpress.layouts.layout import Layout

LAYOUTS: tuple[Layout, ...] = (onnxpress_json.LAYOUT,)


def read_folder(folder: Path) -> Model:
    """What a folder holds.

    Raises:
        MissingFile: no layout knows the folder.
        ArtifactError: a layout knows it, and it is damaged.
    """
    for layout in LAYOUTS:
        if (model := layout.read(folder)) is not None:
            return model
    raise MissingFile(f"{folder}: no {FILE_NAME} here, so it is not an onnxpress artifact. {_what_to_do_with(folder)}")


def _what_to_do_with(folder: Path) -> str:
    if (folder / "config.json").is_file():
        return f"It looks like a checkpoint: turn it into an artifact with `onnxpress export {folder} OUT`."
    return "Give the folder that `onnxpress export` wrote."
