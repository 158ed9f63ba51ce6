"""Ministral: as Qwen2."""

from onnxpress_exporter.graphs.build.readers.qwen2 import read

__all__ = ["read"]
