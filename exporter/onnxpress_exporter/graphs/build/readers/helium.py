"""Helium: Llama in which neighbours are rotated."""

from __future__ import annotations

from onnxpress_exporter.graphs.build.architecture import Architecture
from onnxpress_exporter.graphs.build.readers.llama import llama
from onnxpress_exporter.graphs.build.source import Source


def read(source: Source) -> Architecture:
    """As Llama."""
    return llama(source, interleaved=True)
