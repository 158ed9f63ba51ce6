"""MatMul(x, W) in fp32 -> an 8-bit integer product whose row depends on nothing but that row of x.

One range for all rows, a constant:

    q = QuantizeLinear(x, unit, zero)
    y = MatMulIntegerToFloat(q, W8, unit, W's scales, zero, 0)

or a range for each row, from its largest value (..., 1):

    m = Max(ReduceMax(Abs(x)), floor)
    q = QuantizeLinear(x / m, unit, zero)
    y = MatMulIntegerToFloat(q, W8, unit, W's scales, zero, 0) * m

ONNX Runtime's own dynamic quantization takes its range from the whole tensor, so that a row's result depends on what
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
    number,
    remove_dead,
    replace,
    zero_point,
)


@dataclass(frozen=True, slots=True)
class IntegerWeights:
    """`integers` int8 or uint8 (inputs, outputs), `scales` float32 and `zeros` uint8 (outputs), None where all are 0;
    weights = (integers - zeros) * scales."""

    integers: NDArray[np.int8] | NDArray[np.uint8]
    scales: NDArray[np.float32]
    zeros: NDArray[np.uint8] | None = None

    def columns(self, places: NDArray[np.int64]) -> IntegerWeights:
        """The weights of these outputs alone."""
        zeros = None if self.zeros is None else self.zeros[places]
        integers: Any = np.ascontiguousarray(self.integers[:, places])
        return IntegerWeights(integers, self.scales[places], zeros)


@dataclass(frozen=True, slots=True)
class Range:
    """How a value becomes uint8, with `zero` for 0.

    One step of the integers is `unit`; where `each_row` has a range of its own, it is `unit` times the row's largest
    value, which is `floor` at least. That is the largest size, or, if `one_sided`, the largest value itself.
    """

    zero: int
    unit: float
    floor: float = 1e-12
    each_row: bool = True
    one_sided: bool = False


@dataclass(frozen=True, slots=True)
class IntegerSite:
    """The MatMuls, by their outputs' names, that read one value, and how that value becomes uint8."""

    weights: Mapping[str, IntegerWeights]
    range: Range


def integer_products(model: onnx_ir.Model, sites: Sequence[IntegerSite]) -> int:
    """Rewrite these products of `model` in place; how many."""
    products = {node.outputs[0].name: node for node in nodes(model, "MatMul")}
    order = {id(node): place for place, node in enumerate(model.graph)}
    count = 0
    for site in sites:
        readers = sorted((products[name] for name in site.weights), key=lambda node: order[id(node)])
        value = readers[0].inputs[0]
        if value is None:
            raise ValueError(f"{readers[0].outputs[0].name} reads nothing")
        before = readers[0]
        largest = _largest(model.graph, before, value, site.range) if site.range.each_row else None
        integers = _quantize(model.graph, before, value, largest, site.range)
        for node in readers:
            _multiply(model.graph, node, integers, largest, site)
            count += 1
    if count:
        model.opset_imports[MICROSOFT] = 1
        remove_dead(model)
    return count


def _largest(graph: onnx_ir.Graph, before: onnx_ir.Node, value: onnx_ir.Value, how: Range) -> onnx_ir.Value:
    """Compute the largest value of each row, (..., 1), which the row's step is proportional to."""
    shape = axes(value)
    reduced = None if shape is None else (*shape[:-1], 1)
    last = add_constant(graph, "last_axis", np.array([-1], np.int64))
    sizes = value if how.one_sided else add_node(before, "Abs", [value], dtype=value.dtype, shape=shape)
    maximum = add_node(before, "ReduceMax", [sizes, last], dtype=value.dtype, shape=reduced, attributes={"keepdims": 1})
    return add_node(before, "Max", [maximum, number(graph, how.floor)], dtype=value.dtype, shape=reduced)


def _quantize(
    graph: onnx_ir.Graph, before: onnx_ir.Node, value: onnx_ir.Value, largest: onnx_ir.Value | None, how: Range
) -> onnx_ir.Value:
    """Quantize the value to uint8."""
    shape = axes(value)
    if largest is not None:
        value = add_node(before, "Div", [value, largest], dtype=value.dtype, shape=shape)
    inputs = [value, number(graph, how.unit), zero_point(graph, how.zero, np.uint8)]
    return add_node(before, "QuantizeLinear", inputs, dtype=onnx_ir.DataType.UINT8, shape=shape)


def _multiply(
    graph: onnx_ir.Graph,
    node: onnx_ir.Node,
    integers: onnx_ir.Value,
    largest: onnx_ir.Value | None,
    site: IntegerSite,
) -> None:
    output = node.outputs[0]
    name = str(output.name)
    weights = site.weights[name]
    inputs: list[onnx_ir.Value | None] = [
        integers,
        add_constant(graph, f"{name}_weights", weights.integers),
        number(graph, site.range.unit),
        add_constant(graph, f"{name}_scales", weights.scales),
        zero_point(graph, site.range.zero, np.uint8),
        zero_point(graph, 0, np.int8) if weights.zeros is None else add_constant(graph, f"{name}_zeros", weights.zeros),
    ]
    product = add_node(node, "MatMulIntegerToFloat", inputs, dtype=output.dtype, shape=axes(output), domain=MICROSOFT)
    if largest is not None:
        product = add_node(node, "Mul", [product, largest], dtype=output.dtype, shape=axes(output))
    replace(output, product)
