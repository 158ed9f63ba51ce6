"""What graphs of models that write are called, and what goes in and out; of graphs built and traced alike."""

from __future__ import annotations

from onnxpress.generation.decoders.graph import ALIGNING_QUERIES
from onnxpress.generation.decoders.models import CROSS_DECODER, DECODER, ENCODER

__all__ = [
    "ALIGNING_QUERIES",
    "CROSS_DECODER",
    "DECODER",
    "ENCODER",
    "ROLES",
    "TEXT_MASK",
    "past_names",
    "present_names",
]

#: What each graph does in its model.
ROLES = {DECODER: "decoder", ENCODER: "encoder", CROSS_DECODER: "decoder"}
#: Of the text that a decoder sees through its encoder: which tokens are no padding.
TEXT_MASK = "encoder_attention_mask"


def past_names(layer: int, part: str = "") -> tuple[str, str]:
    """The inputs that hold a layer's keys and values. `part`: "decoder." or "encoder." where there are both."""
    return f"past_key_values.{layer}.{part}key", f"past_key_values.{layer}.{part}value"


def present_names(layer: int, part: str = "") -> tuple[str, str]:
    """The outputs that hold them."""
    return f"present.{layer}.{part}key", f"present.{layer}.{part}value"
