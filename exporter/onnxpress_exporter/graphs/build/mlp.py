"""Feed-forwards and activations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnx_ir

from onnxpress_exporter.graphs.build.architecture import FeedForward
from onnxpress_exporter.graphs.build.linear import linear
from onnxpress_exporter.graphs.build.nodes import axes_of, emit, emit_several, multiply
from onnxpress_exporter.passes.graph import MICROSOFT

#: transformers' name of an activation -> operator, domain, attributes.
ACTIVATIONS: Mapping[str, tuple[str, str, Mapping[str, Any]]] = {
    "gelu": ("Gelu", "", {}),
    "gelu_python": ("Gelu", "", {}),
    "gelu_new": ("FastGelu", MICROSOFT, {}),
    "gelu_fast": ("FastGelu", MICROSOFT, {}),
    "gelu_pytorch_tanh": ("FastGelu", MICROSOFT, {}),
    "gelu_accurate": ("FastGelu", MICROSOFT, {}),
    "quick_gelu": ("QuickGelu", MICROSOFT, {"alpha": 1.702}),
    # x * sigmoid(x) in one operator.
    "silu": ("QuickGelu", MICROSOFT, {"alpha": 1.0}),
    "swish": ("QuickGelu", MICROSOFT, {"alpha": 1.0}),
    "relu": ("Relu", "", {}),
    "tanh": ("Tanh", "", {}),
    "sigmoid": ("Sigmoid", "", {}),
}


def feed_forward(graph: onnx_ir.Graph, name: str, part: FeedForward, x: onnx_ir.Value) -> onnx_ir.Value:
    """What the projection `down` reads."""
    x = linear(graph, f"{name}.up", x, *part.up)
    if not part.gated:
        return activate(graph, f"{name}.activated", x, part.activation)
    width = sum(int(projection.weight.shape[0]) for projection in part.up)
    names, half = [f"{name}.halves.first", f"{name}.halves.second"], [*axes_of(x)[:-1], width // 2]
    gate, rest = emit_several(graph, names, "Split", [x], {"axis": -1, "num_outputs": 2}, axes=half)
    rest.shape = onnx_ir.Shape(half)
    gate = activate(graph, f"{name}.activated", gate, part.activation)
    return multiply(graph, f"{name}.gated", gate, rest)


def activate(graph: onnx_ir.Graph, name: str, x: onnx_ir.Value, activation: str) -> onnx_ir.Value:
    """An activation of `ACTIVATIONS`; KeyError for another."""
    op_type, domain, attributes = ACTIVATIONS[activation]
    return emit(graph, name, op_type, [x], attributes, domain=domain, axes=axes_of(x))
