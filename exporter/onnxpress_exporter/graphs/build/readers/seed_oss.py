"""Seed: as Llama."""

from onnxpress_exporter.graphs.build.readers.llama import read

__all__ = ["read"]
