"""MatMul(x, W) in fp32 -> an 8-bit integer product whose row depends on nothing but that row of x.

    m = clip * Max(ReduceMax(x) / (255 - zero), -ReduceMin(x) / zero), at least floor           (..., 1)
    q = QuantizeLinear(x / m, 1, zero)
    y = MatMulIntegerToFloat(q, W8, 1, W's scales, zero, W's zero) * m

ONNX Runtime's own dynamic quantization takes one range for the whole tensor, so that a row's result depends on what
stands beside it in the batch. Here it does not, whatever the batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir
from numpy.typing import NDArray

from onnxpress_exporter.passes.graph import (
    MICROSOFT,
    add_constant,
    add_node,
    axes,
    nodes,
    remove_dead,
    replace,
)


@dataclass(frozen=True, slots=True)
class IntegerWeights:
    """`integers` int8 or uint8 (inputs, outputs), `zero` of the same kind; weights = (integers - zero) * scales."""

    integers: NDArray[Any]
    scales: NDArray[np.float32]
    zero: int


@dataclass(frozen=True, slots=True)
class IntegerSite:
    """The MatMuls, by their outputs' names, that read one value, and how that value becomes uint8.

    The step of a row is `clip` times what the row needs, and `floor` at least. `zero`: the integer of 0. `one_sided`:
    the value's least is so near 0 that only its largest sets the range of a row.
    """

    weights: Mapping[str, IntegerWeights]
    zero: int
    floor: float
    clip: float = 1.0
    one_sided: bool = False


def integer_products(model: onnx_ir.Model, sites: Sequence[IntegerSite]) -> int:
    """Rewrite these products of `model` in place; how many."""
    products = {node.outputs[0].name: node for node in nodes(model, "MatMul")}
    order = {id(node): place for place, node in enumerate(model.graph)}
    count = 0
    for site in sites:
        found = sorted((products[name] for name in site.weights), key=lambda node: order[id(node)])
        value = found[0].inputs[0]
        if value is None:
            raise ValueError(f"{found[0].outputs[0].name} reads nothing")
        integers, step = _quantize(model.graph, found[0], value, site)
        for node in found:
            _multiply(model.graph, node, integers, step, site)
            count += 1
    if count:
        model.opset_imports[MICROSOFT] = 1
        remove_dead(model)
    return count


def _quantize(
    graph: onnx_ir.Graph, before: onnx_ir.Node, value: onnx_ir.Value, site: IntegerSite
) -> tuple[onnx_ir.Value, onnx_ir.Value]:
    """The value as uint8, and the step of each row."""
    shape = axes(value)
    step = _steps(graph, before, value, site)
    steps = add_node(before, "Div", [value, step], dtype=value.dtype, shape=shape)
    inputs = [steps, _number(graph, 1.0), _zero(graph, site.zero, np.uint8)]
    integers = add_node(before, "QuantizeLinear", inputs, dtype=onnx_ir.DataType.UINT8, shape=shape)
    return integers, step


def _steps(graph: onnx_ir.Graph, before: onnx_ir.Node, value: onnx_ir.Value, site: IntegerSite) -> onnx_ir.Value:
    """(..., 1): the size of one step of the integers, for each row."""
    shape = axes(value)
    reduced = None if shape is None else (*shape[:-1], 1)
    last = add_constant(graph, "last_axis", np.array([-1], np.int64))

    def tiny(op_type: str, inputs: Sequence[onnx_ir.Value], **attributes: Any) -> onnx_ir.Value:
        return add_node(before, op_type, inputs, dtype=value.dtype, shape=reduced, attributes=attributes)

    up = tiny("Mul", [tiny("ReduceMax", [value, last], keepdims=1), _number(graph, site.clip / (255 - site.zero))])
    ends = [up, _number(graph, site.floor)]
    if not site.one_sided:
        down = tiny("Mul", [tiny("ReduceMin", [value, last], keepdims=1), _number(graph, -site.clip / site.zero)])
        ends.insert(1, down)
    return tiny("Max", ends)


def _multiply(
    graph: onnx_ir.Graph, node: onnx_ir.Node, integers: onnx_ir.Value, step: onnx_ir.Value, site: IntegerSite
) -> None:
    output = node.outputs[0]
    name = str(output.name)
    weights = site.weights[name]
    inputs: list[onnx_ir.Value | None] = [
        integers,
        add_constant(graph, f"{name}_weights", weights.integers),
        _number(graph, 1.0),
        add_constant(graph, f"{name}_scales", weights.scales),
        _zero(graph, site.zero, np.uint8),
        _zero(graph, weights.zero, weights.integers.dtype.type),
    ]
    product = add_node(node, "MatMulIntegerToFloat", inputs, dtype=output.dtype, shape=axes(output), domain=MICROSOFT)
    replace(output, add_node(node, "Mul", [product, step], dtype=output.dtype, shape=axes(output)))


def _number(graph: onnx_ir.Graph, number: float) -> onnx_ir.Value:
    array = np.array(number, np.float32)
    return add_constant(graph, f"number_{array.item():.9g}", array)


def _zero(graph: onnx_ir.Graph, zero: int, kind: Any) -> onnx_ir.Value:
    return add_constant(graph, f"zero_{np.dtype(kind).name}_{zero}", np.array(zero, kind))
