"""PyTorch's modules as the builders' data."""

from __future__ import annotations

from typing import Any

from torch import nn

from onnxpress_exporter.generators.blocks import Linear, Norm
from onnxpress_exporter.generators.errors import NotBuildable


def linear(module: Any) -> Linear:
    """An nn.Linear itself, whose weight is all it multiplies by. Raises NotBuildable for anything put in its place."""
    if type(module) is not nn.Linear:
        raise NotBuildable(f"A projection is a {type(module).__name__} in place of a Linear.")
    return Linear(module.weight, module.bias)


def layer_norm(module: Any) -> Norm:
    """An nn.LayerNorm."""
    return Norm("layer", module.weight, float(module.eps), module.bias)
