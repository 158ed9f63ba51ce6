"""A range of its own for each row -> one constant range for all: no look at the row, and no product with its step.

    m = Max(ReduceMax(Abs(x)), floor);  q = QuantizeLinear(x / m, unit, zero)
    y = MatMulIntegerToFloat(q, W, unit, scales, zero, 0) * m
    -> q = QuantizeLinear(x, unit', zero');  y = MatMulIntegerToFloat(q, W, unit', scales, zero', 0)

The weights stay as they are. Which values bear it, and with which range, is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir
from numpy.typing import NDArray

from onnxpress_exporter.passes.graph import (
    MICROSOFT,
    axes,
    constant,
    consumers,
    nodes,
    number,
    producer,
    remove_dead,
    replace,
    zero_point,
)
from onnxpress_exporter.passes.integer_products import Range

#: Inputs of an integer product.
_WEIGHTS, _UNIT, _SCALES, _ZERO, _WEIGHTS_ZERO = range(1, 6)


@dataclass(frozen=True, slots=True)
class RowRange:
    """A value (..., width) that is quantized by a range for each row: `quantized`, the node that does so; `products`,
    the integer products that read the result, and `steps`, what multiplies each of them by its row's step."""

    value: onnx_ir.Value
    width: int
    quantized: onnx_ir.Node
    products: tuple[onnx_ir.Node, ...]
    steps: tuple[onnx_ir.Node, ...]

    @property
    def importance(self) -> NDArray[np.float32]:
        """float32 (width): the squared length of each channel's weights, of all products together."""
        total = np.zeros(self.width, np.float32)
        for product in self.products:
            integers, scales = constant(product.inputs[_WEIGHTS]), constant(product.inputs[_SCALES])
            zeros = constant(product.inputs[_WEIGHTS_ZERO]) if len(product.inputs) > _WEIGHTS_ZERO else None
            assert integers is not None and scales is not None
            whole = integers.astype(np.float32) - (0 if zeros is None else zeros.astype(np.float32))
            total += np.square(whole * scales).sum(axis=1)
        return total


def row_ranges(model: onnx_ir.Model) -> list[RowRange]:
    """Every value of a graph that is quantized so, in the graph's order."""
    ranges = []
    for node in nodes(model, "QuantizeLinear"):
        division = producer(node.inputs[0], "Div")
        products = consumers(node.outputs[0])
        if division is None or not all(_is_product(product) for product in products):
            continue
        value, largest = division.inputs
        steps = [step for product in products if (step := _step(product, largest)) is not None]
        weights = None if not products else constant(products[0].inputs[_WEIGHTS])
        if value is None or weights is None or len(steps) < len(products):
            continue
        ranges.append(RowRange(value, len(weights), node, tuple(products), tuple(steps)))
    return ranges


def constant_ranges(model: onnx_ir.Model, ranges: Mapping[str, Range]) -> int:
    """Give values of `model`, by name, these constant ranges, in place; how many there were."""
    count = 0
    for row in row_ranges(model):
        chosen = ranges.get(str(row.value.name))
        if chosen is None:
            continue
        unit, zero = number(model.graph, chosen.unit), zero_point(model.graph, chosen.zero, np.uint8)
        for place, value in enumerate((row.value, unit, zero)):
            row.quantized.replace_input_with(place, value)
        for product, step in zip(row.products, row.steps, strict=True):
            product.replace_input_with(_UNIT, unit)
            product.replace_input_with(_ZERO, zero)
            product.outputs[0].shape = onnx_ir.Shape(axes(step.outputs[0]) or ())
            replace(step.outputs[0], product.outputs[0])
        count += 1
    if count:
        remove_dead(model)
    return count


def _is_product(node: onnx_ir.Node) -> bool:
    return node.op_type == "MatMulIntegerToFloat" and node.domain == MICROSOFT


def _step(product: onnx_ir.Node, largest: onnx_ir.Value | None) -> onnx_ir.Node | None:
    """The node that multiplies a product by its row's largest value, if nothing else reads the product."""
    readers = consumers(product.outputs[0])
    if len(readers) != 1 or readers[0].op_type != "Mul" or product.outputs[0].is_graph_output():
        return None
    return readers[0] if any(value is largest for value in readers[0].inputs) else None
