"""Qwen2: Llama, some of whose layers may have a window."""

from __future__ import annotations

from onnxpress_exporter.graphs.build.architecture import Architecture
from onnxpress_exporter.graphs.build.readers.llama import llama
from onnxpress_exporter.graphs.build.source import Source


def read(source: Source) -> Architecture:
    """As Llama."""
    return llama(source, source.windows())
