"""8-bit weights in blocks -> fp32 products whose weights are computed when the graph is loaded.

    MatMulNBits(x, blocks, scales, zeros) -> MatMul(x, Transpose(Reshape((Cast(blocks) - zeros) * scales)))

Everything but the product is constant, so that ONNX Runtime does it once: the file stays small, and what runs is an
fp32 product. That one is faster for many rows; the one in blocks is for few, and takes a quarter of the memory.
"""

from __future__ import annotations

import numpy as np
import onnx_ir

from onnxpress_exporter.passes.graph import (
    MICROSOFT,
    add_constant,
    add_node,
    attribute_int,
    axes,
    constant,
    nodes,
    remove_dead,
    replace,
)

_FLOAT = onnx_ir.DataType.FLOAT


def unpack_blocks(model: onnx_ir.Model) -> int:
    """Rewrite every such product of `model` with weights of 8 bits, in place; how many there were."""
    count = sum(_unpack(model.graph, node) for node in nodes(model, "MatMulNBits"))
    if count:
        remove_dead(model)
    return count


def _unpack(graph: onnx_ir.Graph, node: onnx_ir.Node) -> bool:
    inputs = [*node.inputs, *[None] * (6 - len(node.inputs))]
    x, packed, scales, zeros, order, bias = inputs
    rows, columns, block = (attribute_int(node, name, 0) for name in ("K", "N", "block_size"))
    known = packed is not None and scales is not None and scales.dtype == _FLOAT and constant(packed) is not None
    if node.domain != MICROSOFT or not known or order is not None or attribute_int(node, "bits", 4) != 8:
        return False
    if rows % block:
        return False
    output, name = node.outputs[0], node.outputs[0].name
    each_block = add_constant(graph, f"{name}_each_block", np.array([columns, rows // block, 1], np.int64))
    middle: onnx_ir.Value | None = add_constant(graph, "middle_of_8_bits", np.array(128, np.float32))
    if zeros is not None:
        middle = add_node(node, "Reshape", [_float(node, zeros), each_block], dtype=_FLOAT)
    steps = add_node(node, "Reshape", [scales, each_block], dtype=_FLOAT)
    weights = add_node(node, "Mul", [add_node(node, "Sub", [_float(node, packed), middle], dtype=_FLOAT), steps])
    shape = add_constant(graph, f"{name}_by_output", np.array([columns, rows], np.int64))
    by_output = add_node(node, "Reshape", [weights, shape], dtype=_FLOAT, shape=(columns, rows))
    by_input = add_node(
        node, "Transpose", [by_output], dtype=_FLOAT, shape=(rows, columns), attributes={"perm": [1, 0]}
    )
    product = add_node(node, "MatMul", [x, by_input], dtype=output.dtype, shape=axes(output))
    if bias is not None:
        product = add_node(node, "Add", [product, bias], dtype=output.dtype, shape=axes(output))
    replace(output, product)
    return True


def _float(before: onnx_ir.Node, value: onnx_ir.Value | None) -> onnx_ir.Value:
    return add_node(before, "Cast", [value], dtype=_FLOAT, attributes={"to": int(_FLOAT)})
