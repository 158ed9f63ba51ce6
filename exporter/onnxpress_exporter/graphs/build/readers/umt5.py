"""UMT5: T5 with distances of each layer's own; outputs are scaled where the head is the words' table."""

from __future__ import annotations

from onnxpress_exporter.graphs.build.architecture import Architecture
from onnxpress_exporter.graphs.build.readers.t5 import t5
from onnxpress_exporter.graphs.build.source import Source


def read(source: Source) -> Architecture:
    """UMT5."""
    return t5(source, scales_outputs=source.config.tie_word_embeddings)
