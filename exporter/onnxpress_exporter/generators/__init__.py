"""Graphs of generating models made from their weights instead of traced."""

from __future__ import annotations

import onnx_ir
import torch

from onnxpress_exporter.errors import NotBuildable
from onnxpress_exporter.generators.decoder_graph import decoder_graph
from onnxpress_exporter.generators.families import read

__all__ = ["build_decoder", "buildable", "context_limit"]


def buildable(model: torch.nn.Module) -> str | None:
    """None if `build_decoder` knows this model, else the reason why not."""
    try:
        read(model)
    except NotBuildable as reason:
        return str(reason)
    return None


def build_decoder(model: torch.nn.Module) -> onnx_ir.Model:
    """The graph of a transformers causal language model, in float32.

    Its weights are those of `model`, read when the graph is saved: the model has to stay as it is until then.

    Raises:
        NotBuildable: no reader knows the model, or something in its config.
    """
    return decoder_graph(read(model))


def context_limit(model: torch.nn.Module) -> int | None:
    """How many tokens a row can have; None where positions do not end.

    Raises:
        NotBuildable: as `build_decoder`.
    """
    return read(model).limit
