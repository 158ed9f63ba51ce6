"""Attention that reads no mask where nothing is padded: ONNX Runtime then goes through the keys block by block.

MultiHeadAttention(q, k, v, biases, mask, ...)
-> If(nothing is padded, MultiHeadAttention(q, k, v, biases, none, ...), the same with the mask)

The branches hold no weights. Their sums are in another order, so that a row alone and one beside padding differ in the
last digits: of fp32 by less than its limit, of integers by more, and the gate says so.
"""

from __future__ import annotations

import numpy as np
import onnx_ir

from onnxpress_exporter.passes.graph import (
    MICROSOFT,
    add_constant,
    add_node,
    nodes,
    rank,
    remove_dead,
    replace,
)

_MASK = 4
_BOOL = onnx_ir.DataType.BOOL


def maskless_attention(model: onnx_ir.Model) -> int:
    """Rewrite every attention of `model` that has a mask of padding, in place; how many there were."""
    whole: dict[int, onnx_ir.Value] = {}
    count = 0
    for node in nodes(model, "MultiHeadAttention"):
        mask = node.inputs[_MASK] if len(node.inputs) > _MASK else None
        if node.domain != MICROSOFT or mask is None or rank(mask) != 2 or any(o.uses() for o in node.outputs[1:]):
            continue
        if id(mask) not in whole:
            whole[id(mask)] = _nothing_is_padded(model.graph, node, mask)
        inputs = list(node.inputs)
        without = [value for place, value in enumerate(inputs) if place != _MASK]
        without.insert(_MASK, None)
        branches = {
            "then_branch": _branch(node, without, "unpadded"),
            "else_branch": _branch(node, inputs, "padded"),
        }
        choice = add_node(node, "If", [whole[id(mask)]], like=node.outputs[0], attributes=branches)
        replace(node.outputs[0], choice)
        count += 1
    if count:
        remove_dead(model)
    return count


def _nothing_is_padded(graph: onnx_ir.Graph, node: onnx_ir.Node, mask: onnx_ir.Value) -> onnx_ir.Value:
    """bool (): whether every place of a mask, int (batch, keys), is kept."""
    least = add_node(node, "ReduceMin", [mask], dtype=mask.dtype, shape=(), attributes={"keepdims": 0})
    keeps = add_constant(graph, "kept", np.array(1, np.int32 if mask.dtype == onnx_ir.DataType.INT32 else np.int64))
    return add_node(node, "GreaterOrEqual", [least, keeps], dtype=_BOOL, shape=())


def _branch(node: onnx_ir.Node, inputs: list[onnx_ir.Value | None], name: str) -> onnx_ir.Graph:
    """A graph of one attention over values of the graph around it."""
    copy = onnx_ir.node("MultiHeadAttention", inputs, dict(node.attributes), domain=MICROSOFT)
    output, like = copy.outputs[0], node.outputs[0]
    output.name = f"{like.name}_{name}"
    output.shape = like.shape
    if like.dtype is not None:
        output.type = onnx_ir.TensorType(like.dtype)
    return onnx_ir.Graph([], [output], nodes=[copy], name=name)
