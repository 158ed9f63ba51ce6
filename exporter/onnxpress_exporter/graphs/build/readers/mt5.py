"""mT5: T5 whose outputs are not scaled."""

from __future__ import annotations

from onnxpress_exporter.graphs.build.architecture import Architecture
from onnxpress_exporter.graphs.build.readers.t5 import t5
from onnxpress_exporter.graphs.build.source import Source


def read(source: Source) -> Architecture:
    """mT5."""
    return t5(source, scales_outputs=False)
