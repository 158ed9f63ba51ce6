"""SmolLM3: Qwen2, some of whose layers do not rotate."""

from __future__ import annotations

from onnxpress_exporter.graphs.build.architecture import Architecture
from onnxpress_exporter.graphs.build.readers.llama import llama
from onnxpress_exporter.graphs.build.source import Source


def read(source: Source) -> Architecture:
    """As Llama."""
    return llama(source, source.windows(), rotates=source.config.no_rope_layers)
