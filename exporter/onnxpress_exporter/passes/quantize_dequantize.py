"""Integer products -> products between QuantizeLinear and DequantizeLinear, as other engines read them.

    MatMulIntegerToFloat(QuantizeLinear(x, unit, zero), W, unit, scales, zero, 0)
    -> MatMul(DequantizeLinear(QuantizeLinear(x, unit, zero), unit, zero), DequantizeLinear(W, scales))

where the range is a constant. A range for each row has no such form: there only the weights are integers,

    MatMul(x, DequantizeLinear(W, scales))

The weights stay as they are, and are read from the same file.
"""

from __future__ import annotations

import onnx_ir

from onnxpress_exporter.passes.constant_ranges import row_ranges
from onnxpress_exporter.passes.graph import MICROSOFT, add_node, axes, constant, nodes, producer, remove_dead, replace

_FLOAT = onnx_ir.DataType.FLOAT


def quantize_dequantize(model: onnx_ir.Model) -> int:
    """Rewrite every integer product of `model`, in place; how many there were."""
    count = 0
    for row in row_ranges(model):
        for product, step in zip(row.products, row.steps, strict=True):
            replace(step.outputs[0], _product(product, row.value))
            count += 1
    remove_dead(model)
    dequantized: dict[int, onnx_ir.Value] = {}
    for product in nodes(model, "MatMulIntegerToFloat"):
        quantized, _, unit, _, zero, *_ = product.inputs
        if product.domain != MICROSOFT or quantized is None or producer(quantized, "QuantizeLinear") is None:
            continue
        if id(quantized) not in dequantized:
            dequantized[id(quantized)] = add_node(
                product, "DequantizeLinear", [quantized, unit, zero], dtype=_FLOAT, shape=axes(quantized)
            )
        replace(product.outputs[0], _product(product, dequantized[id(quantized)]))
        count += 1
    if count:
        remove_dead(model)
    return count


def _product(node: onnx_ir.Node, value: onnx_ir.Value) -> onnx_ir.Value:
    integers, scales, zeros = node.inputs[1], node.inputs[3], node.inputs[5] if len(node.inputs) > 5 else None
    shape, known = axes(integers), constant(zeros)
    inputs = [integers, scales, zeros] if known is not None and known.any() else [integers, scales]
    weights = add_node(node, "DequantizeLinear", inputs, dtype=_FLOAT, shape=shape, attributes={"axis": 1})
    return add_node(node, "MatMul", [value, weights], dtype=_FLOAT, shape=axes(node.outputs[0]))
