"""What to trace: the inputs, outputs, dynamic axes and example inputs of one graph of one task.

Names and axes only. Nothing here runs a model or writes a file.
"""

from __future__ import annotations

from onnxpress_exporter.specs.base import GraphSpec
from onnxpress_exporter.specs.sentence_head import (
    head_example_inputs,
    load_sentence_head,
    sentence_head_spec,
)
from onnxpress_exporter.specs.text_encoder import example_inputs, text_encoder_spec

__all__ = [
    "GraphSpec",
    "example_inputs",
    "head_example_inputs",
    "load_sentence_head",
    "sentence_head_spec",
    "text_encoder_spec",
]
