"""optimum's layout: graphs beside the settings, decoders with a mask, decoders after an encoder as one merged graph."""

from __future__ import annotations

from onnxpress_exporter.layouts.growing import adapt_growing
from onnxpress_exporter.layouts.row import WrittenLayout

OPTIMUM = WrittenLayout("optimum", "optimum-onnx: ORTModelFor...", "", adapt_growing)
