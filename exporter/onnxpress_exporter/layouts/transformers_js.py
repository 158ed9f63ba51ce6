"""transformers.js' layout: graphs in `onnx/`, called as optimum's are."""

from __future__ import annotations

from onnxpress_exporter.layouts.growing import adapt_growing
from onnxpress_exporter.layouts.row import WrittenLayout

TRANSFORMERS_JS = WrittenLayout("transformers.js", "transformers.js, in browsers and node", "onnx", adapt_growing)
