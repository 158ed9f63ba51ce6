"""What every part of a builder writes with: a graph's inputs, outputs, nodes, constants, and the plainest layers.

Every function adds its nodes at the end of a graph and returns the values they make, float32 unless it says otherwise.
Knows no architecture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir
import torch
from numpy.typing import NDArray

from onnxpress_exporter.graphs.build.architecture import Norm
from onnxpress_exporter.passes import graph as passes
from onnxpress_exporter.passes.graph import MICROSOFT, add_constant

OPSET = 21
#: The newest that onnxruntime 1.23 reads is 11.
IR_VERSION = 10

FLOAT, INT64, INT32 = onnx_ir.DataType.FLOAT, onnx_ir.DataType.INT64, onnx_ir.DataType.INT32

Axes = Sequence[int | str | None]


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
    axes = [sum(int(tensor.shape[0]) for tensor in tensors), *(int(size) for size in first[1:])]
    if transposed:
        axes.reverse()

    def read() -> onnx_ir.TensorProtocol:
        parts = [tensor.detach().to(torch.float32).cpu().numpy() for tensor in tensors]
        array = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return onnx_ir.Tensor(np.ascontiguousarray(array.T if transposed else array), name=name)

    lazy = onnx_ir.LazyTensor(read, dtype=FLOAT, shape=onnx_ir.Shape(axes), name=name)
    value = onnx_ir.Value(name=name, const_value=lazy, type=onnx_ir.TensorType(FLOAT), shape=onnx_ir.Shape(axes))
    graph.register_initializer(value)
    return value


# Layers.


def normalize(graph: onnx_ir.Graph, name: str, x: onnx_ir.Value, norm: Norm) -> onnx_ir.Value:
    """`x`, normalized along its last axis; any rank."""
    scale = weight(graph, f"{name}.weight", norm.weight)
    attributes = {"axis": -1, "epsilon": norm.epsilon}
    if norm.kind == "rms":
        return emit(graph, name, "SimplifiedLayerNormalization", [x, scale], attributes, axes=axes_of(x))
    shift = None if norm.bias is None else weight(graph, f"{name}.bias", norm.bias)
    return emit(graph, name, "LayerNormalization", [x, scale, shift], attributes, axes=axes_of(x))


def multiply(graph: onnx_ir.Graph, name: str, x: onnx_ir.Value, factor: float | onnx_ir.Value) -> onnx_ir.Value:
    """x times a number or a value, in the shape of `x`."""
    if not isinstance(factor, onnx_ir.Value):
        factor = constant(graph, f"number_{factor!r}", factor)
    return emit(graph, name, "Mul", [x, factor], axes=axes_of(x))


def look_up(graph: onnx_ir.Graph, name: str, table: onnx_ir.Value, ids: onnx_ir.Value) -> onnx_ir.Value:
    """Rows of a table (size, width) by integers of any shape."""
    return emit(graph, name, "Gather", [table, ids], {"axis": 0}, axes=[*axes_of(ids), *axes_of(table)[1:]])


def pick(graph: onnx_ir.Graph, name: str, x: onnx_ir.Value, positions: onnx_ir.Value) -> onnx_ir.Value:
    """x (rows, sequence, width) at positions int64 (kept) of its second axis."""
    rows, _, width = axes_of(x)
    return emit(graph, name, "Gather", [x, positions], {"axis": 1}, axes=[rows, *axes_of(positions), width])


def axes_of(value: onnx_ir.Value) -> tuple[int | str | None, ...]:
    """Sizes and names of the axes; none where they are not known."""
    return passes.axes(value) or ()
