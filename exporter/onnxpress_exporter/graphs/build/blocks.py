"""Pieces of a transformer as ONNX nodes: weights, projections, normalizations, activations, lookups, inputs, outputs.

Every function adds its nodes at the end of a graph and returns the values they make, float32 unless it says otherwise.
Attention is in `attention.py`. Knows no architecture.

A projection is a plain MatMul with a constant of (inputs, outputs), and an Add: passes quantize that form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnx_ir
import torch
from numpy.typing import NDArray

from onnxpress_exporter.passes.graph import MICROSOFT, add_constant

OPSET = 21
#: The newest that onnxruntime 1.23 reads is 11.
IR_VERSION = 10

FLOAT, INT64, INT32 = onnx_ir.DataType.FLOAT, onnx_ir.DataType.INT64, onnx_ir.DataType.INT32

Axes = Sequence[int | str | None]

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


@dataclass(frozen=True, slots=True)
class Linear:
    """y = x @ weight.T + bias; `weight` (outputs, inputs), a view where a checkpoint stores the transpose."""

    weight: torch.Tensor
    bias: torch.Tensor | None = None


@dataclass(frozen=True, slots=True)
class Norm:
    """A normalization of the last axis.

    kind: "rms" divides by the root of the mean square; "layer" subtracts the mean first and adds `bias` last.
    weight: (width), ready to multiply with: where a checkpoint stores it less one, the one is added.
    """

    kind: Literal["rms", "layer"]
    weight: torch.Tensor
    epsilon: float
    bias: torch.Tensor | None = None


# Graphs, their inputs and outputs.


def new_graph(name: str) -> onnx_ir.Graph:
    """An empty graph that may use ONNX Runtime's own operators."""
    return onnx_ir.Graph([], [], nodes=[], name=name, opset_imports={"": OPSET, MICROSOFT: 1})


def finished(graph: onnx_ir.Graph) -> onnx_ir.Model:
    """The model of a graph whose outputs are named."""
    return onnx_ir.Model(graph, ir_version=IR_VERSION, producer_name="onnxpress")


def graph_input(graph: onnx_ir.Graph, name: str, axes: Axes, dtype: onnx_ir.DataType = FLOAT) -> onnx_ir.Value:
    """A new input of the graph, after those it has."""
    value = onnx_ir.Value(name=name, shape=onnx_ir.Shape(axes), type=onnx_ir.TensorType(dtype))
    graph.inputs.append(value)
    return value


def graph_output(graph: onnx_ir.Graph, value: onnx_ir.Value, name: str, axes: Axes) -> None:
    """Make `value` the graph's next output, under this name."""
    value.name, value.shape = name, onnx_ir.Shape(axes)
    graph.outputs.append(value)


# Nodes.


def emit(
    graph: onnx_ir.Graph,
    name: str,
    op_type: str,
    inputs: Sequence[onnx_ir.Value | None],
    attributes: Mapping[str, Any] | None = None,
    *,
    domain: str = "",
    axes: Axes | None = None,
    dtype: onnx_ir.DataType = FLOAT,
) -> onnx_ir.Value:
    """A node of one output, which gets the name."""
    return emit_several(graph, [name], op_type, inputs, attributes, domain=domain, axes=axes, dtype=dtype)[0]


def emit_several(
    graph: onnx_ir.Graph,
    names: Sequence[str],
    op_type: str,
    inputs: Sequence[onnx_ir.Value | None],
    attributes: Mapping[str, Any] | None = None,
    *,
    domain: str = "",
    axes: Axes | None = None,
    dtype: onnx_ir.DataType = FLOAT,
) -> Sequence[onnx_ir.Value]:
    """A node of several outputs; "" for one that nobody reads. `axes` are the first output's."""
    trimmed = list(inputs)
    while trimmed and trimmed[-1] is None:
        trimmed.pop()
    outputs = [onnx_ir.Value(name=name, type=onnx_ir.TensorType(dtype) if name else None) for name in names]
    if axes is not None:
        outputs[0].shape = onnx_ir.Shape(axes)
    node = onnx_ir.node(op_type, trimmed, dict(attributes or {}), domain=domain, outputs=outputs, name=names[0])
    graph.append(node)
    return outputs


# Constants.


def constant(graph: onnx_ir.Graph, name: str, values: NDArray[Any] | Sequence[int] | int | float) -> onnx_ir.Value:
    """A constant; integers become int64, numbers float32. One of that name is reused if it holds the same."""
    if isinstance(values, np.ndarray):
        return add_constant(graph, name, values)
    return add_constant(graph, name, np.asarray(values, np.float32 if isinstance(values, float) else np.int64))


def weight(graph: onnx_ir.Graph, name: str, *tensors: torch.Tensor, transposed: bool = False) -> onnx_ir.Value:
    """Tensors of a checkpoint, joined along their first axis, as one float32 constant.

    Copies nothing: joining, transposing and widening happen when the constant is read, so that a model is not in
    memory twice.
    """
    first = tensors[0].shape
    axes = [sum(int(one.shape[0]) for one in tensors), *(int(size) for size in first[1:])]
    if transposed:
        axes.reverse()

    def read() -> onnx_ir.TensorProtocol:
        parts = [one.detach().to(torch.float32).cpu().numpy() for one in tensors]
        array = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return onnx_ir.Tensor(np.ascontiguousarray(array.T if transposed else array), name=name)

    lazy = onnx_ir.LazyTensor(read, dtype=FLOAT, shape=onnx_ir.Shape(axes), name=name)
    value = onnx_ir.Value(name=name, const_value=lazy, type=onnx_ir.TensorType(FLOAT), shape=onnx_ir.Shape(axes))
    graph.register_initializer(value)
    return value


# Layers.


def linear(graph: onnx_ir.Graph, name: str, x: onnx_ir.Value, *parts: Linear) -> onnx_ir.Value:
    """(rows, sequence, outputs of all parts side by side): one product for projections that read the same.

    The product's value is called `name`, with a bias `name` + ".biased".
    """
    weights = weight(graph, f"{name}.weight", *(one.weight for one in parts), transposed=True)
    axes = [*_leading(x), sum(int(one.weight.shape[0]) for one in parts)]
    y = emit(graph, name, "MatMul", [x, weights], axes=axes)
    if all(one.bias is None for one in parts):
        return y
    biases = [one.weight.new_zeros(one.weight.shape[0]) if one.bias is None else one.bias for one in parts]
    return emit(graph, f"{name}.biased", "Add", [y, weight(graph, f"{name}.bias", *biases)], axes=axes)


def tied_linear(graph: onnx_ir.Graph, name: str, x: onnx_ir.Value, table: onnx_ir.Value) -> onnx_ir.Value:
    """The product with the transpose of an embedding's table (vocabulary, width), which is stored once."""
    vocabulary, width = axes_of(table.shape)
    rows = emit(graph, f"{name}.weight", "Transpose", [table], {"perm": [1, 0]}, axes=[width, vocabulary])
    return emit(graph, name, "MatMul", [x, rows], axes=[*_leading(x), vocabulary])


def normalize(graph: onnx_ir.Graph, name: str, x: onnx_ir.Value, norm: Norm) -> onnx_ir.Value:
    """`x`, normalized along its last axis; any rank."""
    scale = weight(graph, f"{name}.weight", norm.weight)
    attributes = {"axis": -1, "epsilon": norm.epsilon}
    if norm.kind == "rms":
        return emit(graph, name, "SimplifiedLayerNormalization", [x, scale], attributes, axes=axes_of(x.shape))
    shift = None if norm.bias is None else weight(graph, f"{name}.bias", norm.bias)
    return emit(graph, name, "LayerNormalization", [x, scale, shift], attributes, axes=axes_of(x.shape))


def add_and_normalize(
    graph: onnx_ir.Graph, name: str, x: onnx_ir.Value, skip: onnx_ir.Value, norm: Norm
) -> tuple[onnx_ir.Value, onnx_ir.Value]:
    """(`x` + `skip` normalized, the sum), both (rows, sequence, width); the sum is called `name` + ".sum".

    Sum is not fused with the norm when the graph is loaded, as Add would be: ONNX Runtime's kernels for both together
    are scalar, and slower than the two.
    """
    total = emit(graph, f"{name}.sum", "Sum", [x, skip], axes=axes_of(x.shape))
    return normalize(graph, name, total, norm), total


def activate(graph: onnx_ir.Graph, name: str, x: onnx_ir.Value, activation: str) -> onnx_ir.Value:
    """An activation of `ACTIVATIONS`; KeyError for another."""
    op_type, domain, attributes = ACTIVATIONS[activation]
    return emit(graph, name, op_type, [x], attributes, domain=domain, axes=axes_of(x.shape))


def halves(graph: onnx_ir.Graph, name: str, x: onnx_ir.Value) -> tuple[onnx_ir.Value, onnx_ir.Value]:
    """The first and the second half of the last axis."""
    size = axes_of(x.shape)[-1]
    half = [*_leading(x), size // 2 if isinstance(size, int) else None]
    first, second = emit_several(
        graph, [f"{name}.first", f"{name}.second"], "Split", [x], {"axis": -1, "num_outputs": 2}, axes=half
    )
    second.shape = onnx_ir.Shape(half)
    return first, second


def add(graph: onnx_ir.Graph, name: str, x: onnx_ir.Value, y: onnx_ir.Value) -> onnx_ir.Value:
    """x + y, in the shape of `x`."""
    return emit(graph, name, "Add", [x, y], axes=axes_of(x.shape))


def multiply(graph: onnx_ir.Graph, name: str, x: onnx_ir.Value, factor: float | onnx_ir.Value) -> onnx_ir.Value:
    """x times a number or a value, in the shape of `x`."""
    if not isinstance(factor, onnx_ir.Value):
        factor = constant(graph, f"number_{factor!r}", factor)
    return emit(graph, name, "Mul", [x, factor], axes=axes_of(x.shape))


def look_up(graph: onnx_ir.Graph, name: str, table: onnx_ir.Value, ids: onnx_ir.Value) -> onnx_ir.Value:
    """Rows of a table (size, width) by integers of any shape."""
    return emit(graph, name, "Gather", [table, ids], {"axis": 0}, axes=[*axes_of(ids.shape), *axes_of(table.shape)[1:]])


def pick(graph: onnx_ir.Graph, name: str, x: onnx_ir.Value, positions: onnx_ir.Value) -> onnx_ir.Value:
    """x (rows, sequence, width) at positions int64 (kept) of its second axis."""
    rows, _, width = axes_of(x.shape)
    return emit(graph, name, "Gather", [x, positions], {"axis": 1}, axes=[rows, *axes_of(positions.shape), width])


def axes_of(shape: onnx_ir.Shape | None) -> list[int | str | None]:
    """Sizes and names of the axes; none where they are not known."""
    return [] if shape is None else [one if isinstance(one, int | str) or one is None else one.value for one in shape]


def _leading(x: onnx_ir.Value) -> list[int | str | None]:
    return axes_of(x.shape)[:-1]
