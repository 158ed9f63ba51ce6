"""Qwen3: Qwen2 with norms of the heads."""

from onnxpress_exporter.graphs.build.readers.qwen2 import read

__all__ = ["read"]
