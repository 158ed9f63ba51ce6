"""This project's own layout, which its runtime calls fastest."""

from __future__ import annotations

from onnxpress_exporter.layouts.row import WrittenLayout, as_built

ONNXPRESS = WrittenLayout("onnxpress", "this runtime; other tools too, but for models that write", "onnx", as_built)
