"""Move the channels of what a normalization returns around 0, each by a constant: the same products, smaller values.

    n = LayerNormalization(t, weight, bias);  y = MatMul(n, W);  r = Sum(n, constant, ...)
    -> m = LayerNormalization(t, weight, bias - c);  y = MatMul(m, W) + c W;  r = Sum(m, constant + c, ...)

`c W` joins the constant that is added to the product, where there is one. Of trained transformers a few channels are
large in every row, and always on the same side: what lies around 0 bears one range of 8-bit integers for all rows.
(Wei, Zhang, Li, Zhang, Gong, Guo, Liu: Outlier Suppression+, EMNLP 2023.)
"""

from __future__ import annotations

import numpy as np
import onnx_ir
from numpy.typing import NDArray

from onnxpress_exporter.passes.graph import (
    MICROSOFT,
    add_constant,
    add_node,
    axes,
    constant,
    consumers,
    remove_dead,
    replace,
    weights_of,
)

Shift = NDArray[np.float32]

#: Sums: of any number of terms, or of two.
_SUMS = ("Sum", "Add")
#: Where an operator has the constant that it adds to a product, and to which of its inputs.
_BIASES = {"BiasGelu": 1, "FastGelu": 1}
_JOINED_BIAS = 3


def normalization(model: onnx_ir.Model, name: str) -> onnx_ir.Node | None:
    """The normalization that returns a value and may be moved: its weight and bias are constants, and nothing but sums
    and products by constants of its rows reads it. A product that the graph returns would lose its name to the sum with
    `c W`, by which it is looked for."""
    node = next((node for node in model.graph for output in node.outputs if output.name == name), None)
    if node is None or node.op_type != "LayerNormalization" or len(node.inputs) != 3:
        return None
    value = node.outputs[0]
    if value.name != name or value.is_graph_output() or any(output.uses() for output in node.outputs[1:]):
        return None
    if any(constant(put) is None or constant(put).ndim != 1 for put in node.inputs[1:]):  # type: ignore[union-attr]
        return None
    for reader in consumers(value):
        if reader.op_type in _SUMS and not reader.domain:
            continue
        weights = weights_of(reader.inputs[1]) if reader.op_type == "MatMul" and not reader.domain else None
        if weights is None or weights.ndim != 2 or reader.inputs[0] is not value:
            return None
        if reader.outputs[0].is_graph_output():
            return None
    return node


def centre(model: onnx_ir.Model, name: str, shift: Shift) -> None:
    """Move the channels of a value that `normalization` found by float32 (channels), in place."""
    node = normalization(model, name)
    if node is None:
        raise ValueError(f"the channels of {name} cannot be moved")
    bias = constant(node.inputs[2])
    assert bias is not None
    value = node.outputs[0]
    readers = consumers(value)
    node.replace_input_with(2, add_constant(model.graph, f"{name}_centred", (bias - shift).astype(np.float32)))
    for reader in readers:
        if reader.op_type == "MatMul":
            weights = weights_of(reader.inputs[1])
            assert weights is not None
            add_to(model.graph, reader.outputs[0], (shift.astype(np.float64) @ weights).astype(np.float32))
        else:
            _add_term(model.graph, reader, shift, sum(put is value for put in reader.inputs))
    remove_dead(model)


def add_to(graph: onnx_ir.Graph, value: onnx_ir.Value, vector: Shift) -> None:
    """Add float32 (channels) to a value: to the constant that its only reader adds, or by a node of its own."""
    readers = consumers(value)
    if len(readers) == 1 and not value.is_graph_output():
        (reader,) = readers
        if reader.op_type in _SUMS and not reader.domain and _joins(graph, reader, vector):
            return
        place = _BIASES.get(reader.op_type)
        if place is not None and reader.inputs[0] is value and _moved(graph, reader, place, vector, 0):
            return
        if reader.op_type == "MultiHeadAttention" and reader.domain == MICROSOFT:
            parts = [place for place in range(3) if reader.inputs[place] is value]
            before = sum(_width(reader.inputs[place]) for place in range(parts[0])) if len(parts) == 1 else None
            joined = before is not None and len(reader.inputs) > _JOINED_BIAS
            if joined and _moved(graph, reader, _JOINED_BIAS, vector, before or 0):
                return
    node = value.producer()
    assert node is not None
    term = add_constant(graph, f"{value.name}_moved", vector)
    total = onnx_ir.node("Add", [value, term])
    total.outputs[0].shape = value.shape
    if value.dtype is not None:
        total.outputs[0].type = onnx_ir.TensorType(value.dtype)
    replace(value, total.outputs[0])
    total.replace_input_with(0, value)
    graph.insert_after(node, total)


def _add_term(graph: onnx_ir.Graph, node: onnx_ir.Node, shift: Shift, times: int) -> None:
    """Let a sum have `times` the shift as a term."""
    vector = (times * shift).astype(np.float32)
    if not _joins(graph, node, vector):
        term = add_constant(graph, f"{node.outputs[0].name}_moved", vector)
        total = add_node(node, "Sum", [*node.inputs, term], like=node.outputs[0])
        replace(node.outputs[0], total)


def _joins(graph: onnx_ir.Graph, node: onnx_ir.Node, vector: Shift) -> bool:
    """Whether a sum has a constant of that many channels, which now has the vector, too."""
    for place, put in enumerate(node.inputs):
        array = None if put is None else constant(put)
        if array is not None and array.shape == vector.shape:
            return _moved(graph, node, place, vector, 0)
    return False


def _moved(graph: onnx_ir.Graph, node: onnx_ir.Node, place: int, vector: Shift, start: int) -> bool:
    """Whether an input is a constant vector, to which the vector is added from `start` on."""
    put = node.inputs[place]
    array = None if put is None else constant(put)
    if put is None or array is None or array.ndim != 1 or start + len(vector) > len(array):
        return False
    changed = array.astype(np.float32).copy()
    changed[start : start + len(vector)] += vector
    node.replace_input_with(place, add_constant(graph, f"{put.name}_moved", changed))
    return True


def _width(value: onnx_ir.Value | None) -> int:
    known = axes(value)
    if known is None or not isinstance(known[-1], int):
        raise ValueError("an attention's inputs have no known width")
    return known[-1]
