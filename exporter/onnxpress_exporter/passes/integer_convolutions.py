"""Conv(x, W, b) in fp32 -> a convolution of 8-bit integers, with one constant range for all of a value.

Around each value that gets a range, and around the weights and the bias,

    x' = DequantizeLinear(QuantizeLinear(x, unit, zero), unit, zero)
    y  = Conv(x', DequantizeLinear(W8, scales), DequantizeLinear(b32, unit * scales))

which is what engines fuse: where what a convolution returns has a range as well, ONNX Runtime makes one QLinearConv of
it, and the values between two of them, with Relu and residual sums, are never anything but integers.

Ranges are constants, so that a picture's answer does not depend on what stands beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir
from numpy.typing import NDArray

from onnxpress_exporter.passes.graph import (
    add_constant,
    add_node,
    axes,
    consumers,
    nodes,
    number,
    remove_dead,
    zero_point,
)
from onnxpress_exporter.passes.integer_products import Range

_FLOAT, _UINT8 = onnx_ir.DataType.FLOAT, onnx_ir.DataType.UINT8
#: Inputs of Conv.
_VALUE, _WEIGHTS, _BIAS = range(3)


@dataclass(frozen=True, slots=True)
class IntegerFilters:
    """`integers` int8 (outputs, channels of a group, *kernel), `scales` float32 (outputs); `bias` int32 (outputs), in
    steps of the value's unit times the scales, or None; weights = integers * scales."""

    integers: NDArray[np.int8]
    scales: NDArray[np.float32]
    bias: NDArray[np.int32] | None


def integer_convolutions(
    model: onnx_ir.Model, filters: Mapping[str, IntegerFilters], ranges: Mapping[str, Range]
) -> int:
    """Rewrite convolutions of `model` in place; how many.

    Args:
        filters: by the name of what a convolution returns.
        ranges: of values, by name: of those that the convolutions read, and of those that are to be integers as well.
    """
    convolutions = [node for node in nodes(model, "Conv") if node.outputs[0].name in filters]
    places = {id(node): place for place, node in enumerate(model.graph)}
    named = {value.name: value for value in model.graph.inputs}
    named |= {value.name: value for node in model.graph for value in node.outputs}
    units: dict[int, np.float32] = {}
    for name, how in ranges.items():
        value = named[name]
        readers = [node for node in consumers(value) if id(node) in places]
        if readers:
            first = min(readers, key=lambda node: places[id(node)])
            units[id(_quantize(value, readers, first, how))] = np.float32(how.unit)
    for node in convolutions:
        _store(model.graph, node, filters[str(node.outputs[0].name)], units[id(node.inputs[_VALUE])])
    if convolutions:
        remove_dead(model)
    return len(convolutions)


def _quantize(value: onnx_ir.Value, readers: Sequence[onnx_ir.Node], first: onnx_ir.Node, how: Range) -> onnx_ir.Value:
    """Let the readers of a value read it in 8 bits; what they read."""
    graph, shape = first.graph, axes(value)
    assert graph is not None
    unit, zero = number(graph, how.unit), zero_point(graph, how.zero, np.uint8)
    integers = add_node(first, "QuantizeLinear", [value, unit, zero], dtype=_UINT8, shape=shape)
    restored = add_node(first, "DequantizeLinear", [integers, unit, zero], dtype=_FLOAT, shape=shape)
    for node in readers:
        for place, read in enumerate(node.inputs):
            if read is value:
                node.replace_input_with(place, restored)
    return restored


def _store(graph: onnx_ir.Graph, node: onnx_ir.Node, filters: IntegerFilters, unit: np.float32) -> None:
    """Let a convolution read its weights and its bias from integers."""
    name = str(node.outputs[0].name)
    _read(graph, node, _WEIGHTS, f"{name}_weights", filters.integers, filters.scales)
    if filters.bias is not None:
        _read(graph, node, _BIAS, f"{name}_bias", filters.bias, unit * filters.scales)


def _read(
    graph: onnx_ir.Graph,
    node: onnx_ir.Node,
    place: int,
    name: str,
    integers: NDArray[np.int8] | NDArray[np.int32],
    scales: NDArray[np.float32],
) -> None:
    inputs = [add_constant(graph, name, integers), add_constant(graph, f"{name}_scales", scales)]
    shape = integers.shape
    restored = add_node(node, "DequantizeLinear", inputs, dtype=_FLOAT, shape=shape, attributes={"axis": 0})
    node.replace_input_with(place, restored)
