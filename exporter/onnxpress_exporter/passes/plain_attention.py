"""MultiHeadAttention -> two products and a softmax, the reverse of `fuse_attention`.

    MultiHeadAttention(q, k, v, biases, mask, attention_bias)
    -> MatMul(Softmax(MatMul(q * scale, k^T) + bias), v), heads by Reshape and Transpose

Which of the two is faster differs by processor and length; engines that do not know the fused operator need this one.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir

from onnxpress_exporter.passes.graph import (
    MICROSOFT,
    add_constant,
    add_node,
    attribute_float,
    attribute_int,
    axes,
    constant,
    nodes,
    rank,
    remove_dead,
    replace,
)
from onnxpress_exporter.passes.simplify_mask import MASKED

_FLOAT, _BOOL = onnx_ir.DataType.FLOAT, onnx_ir.DataType.BOOL


def plain_attention(model: onnx_ir.Model) -> int:
    """Rewrite every attention of `model` without a past, in place; how many there were."""
    masks: dict[int, onnx_ir.Value] = {}
    count = sum(_unfuse(model.graph, node, masks) for node in nodes(model, "MultiHeadAttention"))
    if count:
        remove_dead(model)
    return count


def _unfuse(graph: onnx_ir.Graph, node: onnx_ir.Node, masks: dict[int, onnx_ir.Value]) -> bool:
    inputs: list[onnx_ir.Value | None] = [*node.inputs, None, None, None]
    q, k, v, joined, mask, extra = inputs[:6]
    heads, width = attribute_int(node, "num_heads", 0), _width(q)
    alike = width is not None and _width(k) == width and _width(v) == width
    plain = node.domain == MICROSOFT and not any(node.inputs[6:]) and not attribute_int(node, "unidirectional", 0)
    if not (plain and alike and width and heads and q and q.dtype == _FLOAT) or any(o.uses() for o in node.outputs[1:]):
        return False
    if mask is not None and rank(mask) != 2:
        return False
    biases: list[onnx_ir.Value | None] = [None] * 3
    if joined is not None:
        array = constant(joined)
        if array is None:
            return False
        parts = np.split(array.astype(np.float32), 3)
        biases = [add_constant(graph, f"{joined.name}_{place}", part) for place, part in enumerate(parts)]
    size = width // heads
    scale = attribute_float(node, "scale", 0.0) or 1 / math.sqrt(size)
    split = add_constant(graph, f"heads_{heads}_{size}", np.array([0, 0, heads, size], np.int64))

    def by_head(value: onnx_ir.Value | None, bias: onnx_ir.Value | None, order: list[int]) -> onnx_ir.Value:
        if bias is not None:
            value = add_node(node, "Add", [value, bias], dtype=_FLOAT, shape=axes(value))
        apart = add_node(node, "Reshape", [value, split], dtype=_FLOAT)
        return add_node(node, "Transpose", [apart], dtype=_FLOAT, attributes={"perm": order})

    queries = by_head(q, biases[0], [0, 2, 1, 3])
    factor = add_constant(graph, f"scale_{scale:.9g}", np.array(scale, np.float32))
    scaled = add_node(node, "Mul", [queries, factor], dtype=_FLOAT)
    scores = add_node(node, "MatMul", [scaled, by_head(k, biases[1], [0, 2, 3, 1])], dtype=_FLOAT)
    for bias in (None if mask is None else _bias(graph, node, mask, masks), extra):
        if bias is not None:
            scores = add_node(node, "Add", [scores, bias], dtype=_FLOAT)
    weights = add_node(node, "Softmax", [scores], dtype=_FLOAT, attributes={"axis": -1})
    mixed = add_node(node, "MatMul", [weights, by_head(v, biases[2], [0, 2, 1, 3])], dtype=_FLOAT)
    merged = add_node(node, "Transpose", [mixed], dtype=_FLOAT, attributes={"perm": [0, 2, 1, 3]})
    whole = add_constant(graph, f"width_{width}", np.array([0, 0, width], np.int64))
    replace(node.outputs[0], add_node(node, "Reshape", [merged, whole], dtype=_FLOAT, shape=axes(node.outputs[0])))
    return True


def _width(value: onnx_ir.Value | None) -> int | None:
    """Numbers of a token, of a value of three axes."""
    shape = axes(value)
    return shape[2] if shape is not None and len(shape) == 3 and isinstance(shape[2], int) else None


def _bias(
    graph: onnx_ir.Graph, node: onnx_ir.Node, mask: onnx_ir.Value, known: dict[int, onnx_ir.Value]
) -> onnx_ir.Value:
    """What a mask, int (batch, keys) and 1 to keep, adds to the scores; layers share it."""
    if id(mask) not in known:
        keeps = add_node(node, "Cast", [mask], dtype=_BOOL, attributes={"to": int(_BOOL)})
        places = add_constant(graph, "heads_and_queries", np.array([1, 2], np.int64))
        wide = add_node(node, "Unsqueeze", [keeps, places], dtype=_BOOL)
        numbers = (("nothing", 0.0), ("masked", MASKED))
        nothing, masked = (add_constant(graph, name, np.array(number, np.float32)) for name, number in numbers)
        known[id(mask)] = add_node(node, "Where", [wide, nothing, masked], dtype=_FLOAT)
    return known[id(mask)]
