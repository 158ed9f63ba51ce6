"""Products with weights: of every projection, feed-forward and head. The one place that says how a product is written.

A product is a plain MatMul with a constant of (inputs, outputs): passes quantize that form.
"""

from __future__ import annotations

import onnx_ir
import torch

from onnxpress_exporter.graphs.build.architecture import Linear
from onnxpress_exporter.graphs.build.nodes import axes_of, emit, weight


def linear(
    graph: onnx_ir.Graph, name: str, x: onnx_ir.Value, *parts: Linear, table: onnx_ir.Value | None = None
) -> onnx_ir.Value:
    """(rows, sequence, outputs of all parts side by side): one product for projections that read the same.

    The product's value is called `name`, with a bias `name` + ".biased".

    Args:
        table: the words' table in the graph, where its transpose is the weights of the one part: it is stored once.
    """
    y = product(graph, name, x, *parts, table=table)
    if (added := bias(graph, f"{name}.bias", *parts)) is None:
        return y
    return emit(graph, f"{name}.biased", "Add", [y, added], axes=axes_of(y))


def product(
    graph: onnx_ir.Graph, name: str, x: onnx_ir.Value, *parts: Linear, table: onnx_ir.Value | None = None
) -> onnx_ir.Value:
    """`linear` without the biases, where the reader of the product adds them."""
    outputs = sum(int(part.weight.shape[0]) for part in parts)
    if table is None:
        weights = weight(graph, f"{name}.weight", *(part.weight for part in parts), transposed=True)
    else:
        axes = [axes_of(table)[1], outputs]
        weights = emit(graph, f"{name}.weight", "Transpose", [table], {"perm": [1, 0]}, axes=axes)
    return emit(graph, name, "MatMul", [x, weights], axes=[*axes_of(x)[:-1], outputs])


def bias(graph: onnx_ir.Graph, name: str, *parts: Linear) -> onnx_ir.Value | None:
    """The biases of all parts side by side, zeros for a part without; None where no part has any."""
    if all(part.bias is None for part in parts):
        return None
    return weight(graph, name, *(_bias_or_zeros(part) for part in parts))


def _bias_or_zeros(part: Linear) -> torch.Tensor:
    return part.weight.new_zeros(part.weight.shape[0]) if part.bias is None else part.bias
