"""Activations as signed integers: which of the two a processor multiplies faster differs.

QuantizeLinear(x, unit, zero), uint8 -> QuantizeLinear(x, unit, zero - 128), int8
MatMulIntegerToFloat(q, W, ..., zero, 0) -> the same with zero - 128
"""

from __future__ import annotations

import numpy as np
import onnx_ir

from onnxpress_exporter.passes.graph import (
    MICROSOFT,
    add_constant,
    constant,
    consumers,
    nodes,
    remove_dead,
)

_PRODUCT = "MatMulIntegerToFloat"
#: The inputs of a product that are its activations, and the integer that stands for their 0.
_VALUE, _ZERO = 0, 4


def signed_activations(model: onnx_ir.Model) -> int:
    """Rewrite every quantization of `model` that only such products read, in place; how many there were."""
    count = 0
    for node in nodes(model, "QuantizeLinear"):
        output = node.outputs[0]
        products = consumers(output)
        zero = constant(node.inputs[2]) if len(node.inputs) > 2 else None
        if zero is None or zero.dtype != np.uint8 or zero.ndim or output.is_graph_output() or not products:
            continue
        if not all(_reads(product, output) for product in products):
            continue
        moved = int(zero) - 128
        signed = add_constant(model.graph, f"zero_int8_{moved}", np.array(moved, np.int8))
        node.replace_input_with(2, signed)
        for product in products:
            product.replace_input_with(_ZERO, signed)
        output.type = onnx_ir.TensorType(onnx_ir.DataType.INT8)
        count += 1
    if count:
        remove_dead(model)
    return count


def _reads(product: onnx_ir.Node, value: onnx_ir.Value) -> bool:
    """Whether a node is an integer product that reads the value as its activations, and as nothing else."""
    places = [place for place, other in enumerate(product.inputs) if other is value]
    return product.op_type == _PRODUCT and product.domain == MICROSOFT and places == [_VALUE]
