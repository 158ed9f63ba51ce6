"""Graphs of generating models made from their weights instead of traced."""

from onnxpress_exporter.generators.errors import NotBuildable
from onnxpress_exporter.generators.seq2seq import build_encoder_decoder

__all__ = ["NotBuildable", "build_encoder_decoder"]
