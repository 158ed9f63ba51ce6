"""fp32 -> fp16 throughout: weights, values, constants; inputs and outputs of the graph stay as they are, unless told.

Twice as small, and what a GPU computes fastest. Numbers beyond fp16's range are cut to its largest, masks among them; a
single number too small for it, such as what keeps a division from zero, becomes its smallest. Operators that have no
fp16 form compute in fp32 between two casts. Graphs with subgraphs are converted with them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir
from numpy.typing import NDArray

from onnxpress_exporter.passes.graph import add_node, all_nodes, axes, unused_name

LARGEST = float(np.finfo(np.float16).max)
SMALLEST = float(np.finfo(np.float16).smallest_subnormal)
_FLOAT, _HALF = onnx_ir.DataType.FLOAT, onnx_ir.DataType.FLOAT16

#: Operators that take or make fp32 whatever the rest is: the scales of ranges, sizes and integer products.
_KEPT = frozenset({"Range", "Resize", "QuantizeLinear", "DequantizeLinear", "MatMulIntegerToFloat"})
#: Operators that have an fp16 form as long as they do not add up, multiply or compare what meets in one place.
_SCATTERS = frozenset({"ScatterElements", "ScatterND"})
#: Attributes that hold a number of the mask's kind.
_MASKS = ("mask_filter_value",)
#: Attributes that name a type.
_TYPES = ("to", "dtype")
#: MatMulNBits' accuracy_level 1: sums in fp32. ONNX Runtime 1.31's processor kernel gives wrong numbers for fp16 where
#: activations become int8 (level 4); on a GPU the attribute has no meaning.
_FP32_SUMS = 1


def half_precision(model: onnx_ir.Model, whole: Callable[[str], bool] = lambda name: False) -> int:
    """Convert `model` in place; how many initializers became fp16.

    Args:
        whole: whether the input or output of this name becomes fp16 itself.
    """
    graphs = _graphs(model)
    count = sum(_convert_constant(value) for graph in graphs for value in graph.initializers.values())
    for inner in graphs[1:]:
        for value in inner.inputs:
            _halve(value)
    everything = all_nodes(model)
    in_fp32 = [node for node in everything if node.op_type in _KEPT or _reduces(node)]
    for node in everything:
        _convert_node(node)
    for node in in_fp32:
        _compute_in_fp32(node)
    first = next(iter(model.graph), None)
    for value in model.graph.inputs:
        if whole(str(value.name)):
            _halve(value)
        elif value.dtype == _FLOAT and first is not None:
            _cast_input(first, value)
    for place, output in enumerate(model.graph.outputs):
        if output.dtype == _HALF and not whole(str(output.name)):
            _cast_back(model, place, output)
    return count


def _reduces(node: onnx_ir.Node) -> bool:
    """Whether it scatters into places that may meet: ONNX Runtime's processor kernels do that in fp32 only."""
    reduction = node.attributes.get("reduction")
    return node.op_type in _SCATTERS and reduction is not None and reduction.as_string() != "none"


def _graphs(model: onnx_ir.Model) -> list[onnx_ir.Graph]:
    """All graphs of the model, the main graph first."""
    graphs = [model.graph]
    for node in all_nodes(model):
        inner = (attribute for attribute in node.attributes.values() if attribute.type == onnx_ir.AttributeType.GRAPH)
        graphs.extend(attribute.as_graph() for attribute in inner)
    return graphs


def _halve(value: onnx_ir.Value) -> None:
    if value.dtype == _FLOAT:
        # A type object of its own: clones of a graph share theirs.
        value.type = onnx_ir.TensorType(_HALF)


def _convert_constant(value: onnx_ir.Value) -> bool:
    tensor = value.const_value
    if tensor is None or tensor.dtype != _FLOAT or value.is_graph_input():
        return False
    value.const_value = onnx_ir.tensor(_cut(tensor.numpy()), name=value.name)
    value.type = onnx_ir.TensorType(_HALF)
    return True


def _cut(array: NDArray[Any]) -> NDArray[np.float16]:
    halves: NDArray[np.float16] = np.clip(array, -LARGEST, LARGEST).astype(np.float16)
    if array.size == 1 and array.item() != 0 and halves.item() == 0:
        halves = np.full_like(halves, np.copysign(SMALLEST, array.item()))
    return halves


def _convert_node(node: onnx_ir.Node) -> None:
    for name, attribute in list(node.attributes.items()):
        if attribute.type == onnx_ir.AttributeType.TENSOR and attribute.as_tensor().dtype == _FLOAT:
            node.attributes[name] = onnx_ir.AttrTensor(name, onnx_ir.tensor(_cut(attribute.as_tensor().numpy())))
        elif node.op_type == "Constant" and name in ("value_float", "value_floats"):
            del node.attributes[name]
            array = np.asarray(attribute.value, np.float32)
            node.attributes["value"] = onnx_ir.AttrTensor("value", onnx_ir.tensor(_cut(array)))
            node.outputs[0].type = onnx_ir.TensorType(_FLOAT)
        elif name in _TYPES and attribute.type == onnx_ir.AttributeType.INT and attribute.as_int() == int(_FLOAT):
            node.attributes[name] = onnx_ir.AttrInt64(name, int(_HALF))
        elif name in _MASKS:
            node.attributes[name] = onnx_ir.AttrFloat32(name, max(attribute.as_float(), -LARGEST))
    if node.op_type == "MatMulNBits":
        node.attributes["accuracy_level"] = onnx_ir.AttrInt64("accuracy_level", _FP32_SUMS)
    for output in node.outputs:
        _halve(output)


def _compute_in_fp32(node: onnx_ir.Node) -> None:
    for place, value in enumerate(node.inputs):
        if value is not None and value.dtype == _HALF:
            whole = add_node(node, "Cast", [value], dtype=_FLOAT, shape=axes(value), attributes={"to": int(_FLOAT)})
            node.replace_input_with(place, whole)
    for output in node.outputs:
        if output.dtype == _HALF and node.graph is not None:
            half = onnx_ir.node("Cast", [output], {"to": int(_HALF)})
            half.outputs[0].shape, half.outputs[0].type = output.shape, onnx_ir.TensorType(_HALF)
            onnx_ir.convenience.replace_all_uses_with(output, half.outputs[0], replace_graph_outputs=True)
            half.replace_input_with(0, output)
            output.type = onnx_ir.TensorType(_FLOAT)
            node.graph.insert_after(node, half)


def _cast_input(first: onnx_ir.Node, value: onnx_ir.Value) -> None:
    """Cast a graph input to fp16 for its readers."""
    half = add_node(first, "Cast", [value], dtype=_HALF, shape=axes(value), attributes={"to": int(_HALF)})
    onnx_ir.convenience.replace_all_uses_with(value, half)
    cast = half.producer()
    if cast is not None:
        cast.replace_input_with(0, value)


def _cast_back(model: onnx_ir.Model, place: int, output: onnx_ir.Value) -> None:
    """Cast a graph output back to fp32, under its own name."""
    name = output.name
    output.name = unused_name(model.graph, f"{name}_half")
    cast = onnx_ir.node("Cast", [output], {"to": int(_FLOAT)})
    cast.outputs[0].shape, cast.outputs[0].type = output.shape, onnx_ir.TensorType(_FLOAT)
    cast.outputs[0].name = name
    model.graph.append(cast)
    model.graph.outputs[place] = cast.outputs[0]
