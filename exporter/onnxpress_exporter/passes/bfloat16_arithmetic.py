"""Arithmetic in bfloat16 -> in float32, rounded to bfloat16, as PyTorch does it on a CPU.

    Mul(a, b) in bfloat16 -> Cast(Mul(Cast(a, float), Cast(b, float)), bfloat16)

ONNX Runtime has no kernels for it on a CPU. Some models compute a small part of a float32 model so, such as Falcon's
ALiBi.
"""

from __future__ import annotations

import onnx_ir

from onnxpress_exporter.passes.graph import add_node, axes, replace

#: Operators of numbers; those that only move them take any.
_ARITHMETIC = frozenset(
    {"Add", "Sub", "Mul", "Div", "Pow", "Neg", "Exp", "Sqrt", "MatMul", "Max", "Min", "Where", "Abs"}
)
_FLOAT, _BFLOAT16 = onnx_ir.DataType.FLOAT, onnx_ir.DataType.BFLOAT16


def bfloat16_arithmetic(model: onnx_ir.Model) -> int:
    """Rewrite every such node, in place; how many there were."""
    count = 0
    for node in list(model.graph):
        if node.op_type not in _ARITHMETIC or node.domain or node.outputs[0].dtype != _BFLOAT16:
            continue
        output = node.outputs[0]
        inputs = [
            add_node(node, "Cast", [value], attributes={"to": _FLOAT.value}, dtype=_FLOAT, shape=axes(value))
            if value is not None and value.dtype == _BFLOAT16
            else value
            for value in node.inputs
        ]
        exact = add_node(node, node.op_type, inputs, attributes=dict(node.attributes), dtype=_FLOAT, shape=axes(output))
        rounded = add_node(
            node, "Cast", [exact], attributes={"to": _BFLOAT16.value}, dtype=_BFLOAT16, shape=axes(output)
        )
        replace(output, rounded)
        model.graph.remove(node)
        count += 1
    return count
