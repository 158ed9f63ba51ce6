"""transformers.js' layout, which sentence-transformers shares: graphs in `onnx/`, a suffix for each precision."""

from __future__ import annotations

from onnxpress.format.model import Model
from onnxpress.layouts.files import Files
from onnxpress.layouts.foreign import CONFIG, describe
from onnxpress.layouts.graph_names import find_variants
from onnxpress.layouts.layout import Asked, Layout


def read(files: Files, asked: Asked) -> Model | None:
    """What the files hold; None: there is no such graph in `onnx/`."""
    variants = find_variants(files, "onnx/")
    return describe(files, LAYOUT.name, variants, asked) if variants else None


LAYOUT = Layout("transformers.js", (CONFIG,), read)
