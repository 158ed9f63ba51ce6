"""fp32 -> fp16 throughout: weights, values and constants; inputs and outputs of the graph stay as they are.

Twice as small, and what a GPU computes fastest. Numbers beyond fp16's range are cut to its largest, masks among them.
Graphs with subgraphs are converted with them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir
from numpy.typing import NDArray

from onnxpress_exporter.passes.graph import add_node, axes

LARGEST = float(np.finfo(np.float16).max)
_FLOAT, _HALF = onnx_ir.DataType.FLOAT, onnx_ir.DataType.FLOAT16

#: Operators that take or make fp32 whatever the rest is: the scales of ranges, sizes and integer products.
_KEPT = frozenset({"Range", "Resize", "QuantizeLinear", "DequantizeLinear", "MatMulIntegerToFloat", "RandomUniform"})
#: Attributes that hold a number of the mask's kind.
_MASKS = ("mask_filter_value",)


def half_precision(model: onnx_ir.Model) -> int:
    """Convert `model` in place; how many initializers became fp16.

    Raises:
        ValueError: an operator that has no fp16 form.
    """
    kept = sorted({node.op_type for node in _all_nodes(model) if node.op_type in _KEPT})
    if kept:
        raise ValueError(f"{', '.join(kept)} cannot be in fp16")
    count = 0
    for graph in _all_graphs(model):
        for value in graph.initializers.values():
            count += _convert_constant(value)
    for node in _all_nodes(model):
        _convert_node(node)
    for output in model.graph.outputs:
        if output.dtype == _HALF:
            _cast_back(model, output)
    return count


def _all_graphs(model: onnx_ir.Model) -> list[onnx_ir.Graph]:
    graphs = [model.graph]
    for node in _all_nodes(model):
        inner = (one for one in node.attributes.values() if one.type == onnx_ir.AttributeType.GRAPH)
        graphs.extend(one.as_graph() for one in inner)
    return graphs


def _all_nodes(model: onnx_ir.Model) -> list[onnx_ir.Node]:
    return list(onnx_ir.traversal.RecursiveGraphIterator(model.graph))


def _convert_constant(value: onnx_ir.Value) -> bool:
    tensor = value.const_value
    if tensor is None or tensor.dtype != _FLOAT:
        return False
    value.const_value = onnx_ir.tensor(_cut(tensor.numpy()), name=value.name)
    value.dtype = _HALF
    return True


def _cut(array: NDArray[Any]) -> NDArray[np.float16]:
    found: NDArray[np.float16] = np.clip(array, -LARGEST, LARGEST).astype(np.float16)
    return found


def _convert_node(node: onnx_ir.Node) -> None:
    for name, attribute in list(node.attributes.items()):
        if attribute.type == onnx_ir.AttributeType.TENSOR and attribute.as_tensor().dtype == _FLOAT:
            node.attributes[name] = onnx_ir.AttrTensor(name, onnx_ir.tensor(_cut(attribute.as_tensor().numpy())))
        elif node.op_type == "Cast" and name == "to" and attribute.as_int() == int(_FLOAT):
            node.attributes[name] = onnx_ir.AttrInt64(name, int(_HALF))
        elif name in _MASKS:
            node.attributes[name] = onnx_ir.AttrFloat32(name, max(attribute.as_float(), -LARGEST))
    for output in node.outputs:
        if output.dtype == _FLOAT:
            output.type = onnx_ir.TensorType(_HALF)


def _cast_back(model: onnx_ir.Model, output: onnx_ir.Value) -> None:
    """A graph output as fp32, under its own name."""
    name, node = output.name, output.producer()
    if node is None:
        raise ValueError(f"the output {name} is computed by no node")
    output.name = f"{name}_half"
    last = model.graph[len(model.graph) - 1]
    cast = add_node(last, "Cast", [output], dtype=_FLOAT, shape=axes(output), attributes={"to": int(_FLOAT)})
    made = cast.producer()
    if made is not None:
        model.graph.remove(made)
        model.graph.append(made)
    cast.name = name
    place = next(i for i, one in enumerate(model.graph.outputs) if one is output)
    model.graph.outputs[place] = cast
