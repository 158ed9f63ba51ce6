"""Olive's layout: model_config.json names the graph, and holds the checkpoint's config where no config.json does.

A folder of Olive's with a genai_config.json is onnxruntime-genai's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import PurePosixPath

from onnxpress.errors import UnsupportedFormat
from onnxpress.format.model import Model
from onnxpress.layouts.files import Files
from onnxpress.layouts.foreign import CONFIG, describe
from onnxpress.layouts.graph_names import MODEL
from onnxpress.layouts.layout import Asked, Layout
from onnxpress.layouts.weights import precision_of

FILE = "model_config.json"
_USUAL = "model.onnx"


def read(files: Files, asked: Asked) -> Model | None:
    """What the files hold; None: there is no such file of Olive's, or the caller names graph files.

    Raises:
        UnsupportedFormat: the model is made of several graphs.
    """
    if FILE not in files.names or asked.files or asked.folder:
        return None
    handler = files.settings(FILE)
    kind, config = str(handler.get("type", "")).lower(), handler.get("config")
    if not kind.endswith("model") or not isinstance(config, Mapping):
        return None  # another program's file of this name
    if kind != "onnxmodel":
        raise UnsupportedFormat(
            f"{files.folder / FILE}: a {handler['type']} of Olive's; this version of onnxpress runs those that are "
            "one ONNX graph (ONNXModel)."
        )
    name = files.named(str(config.get("onnx_file_name") or _last(config.get("model_path")) or _USUAL), FILE)
    attributes = config.get("model_attributes")
    if CONFIG not in files.names and isinstance(attributes, Mapping):
        files.make(CONFIG, json.dumps(attributes).encode())
    return describe(files, LAYOUT.name, {precision_of(files.graph(name)): {MODEL: name}}, asked, made_of=FILE)


def _last(path: object) -> str | None:
    """The graph's file, of a path on the machine where it was made."""
    name = PurePosixPath(str(path).replace("\\", "/")).name
    return name if name.endswith(".onnx") else None


LAYOUT = Layout("Olive", (FILE, CONFIG), read)
