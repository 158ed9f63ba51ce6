"""Attention that reads no mask where nothing is padded: ONNX Runtime then goes through the keys block by block.

MultiHeadAttention(q, k, v, biases, mask, ...)
-> If(nothing is padded, MultiHeadAttention(q, k, v, biases, none, ...), the same with the mask)

The branches hold no weights. Their sums are in another order, so that a row alone and one beside padding differ in the
last digits: of fp32 by less than its limit, of integers by more, and the gate says so.
"""

from __future__ import annotations

import numpy as np
import onnx_ir

from onnxpress_exporter.passes.graph import MICROSOFT, add_constant, add_node, nodes, rank, remove_dead, replace
from onnxpress_exporter.passes.subgraph import NewNodes

_MASK = 4
_BOOL = onnx_ir.DataType.BOOL


def maskless_attention(model: onnx_ir.Model) -> int:
    """Rewrite every attention of `model` that has a mask of padding, in place; how many there were."""
    whole: dict[int, onnx_ir.Value] = {}
    count = 0
    for node in nodes(model, "MultiHeadAttention"):
        mask = mask_of_padding(node)
        if mask is None:
            continue
        if id(mask) not in whole:
            least = add_node(node, "ReduceMin", [mask], dtype=mask.dtype, shape=(), attributes={"keepdims": 0})
            operands = [least, _kept(model.graph, mask)]
            whole[id(mask)] = add_node(node, "GreaterOrEqual", operands, dtype=_BOOL, shape=())
        attributes = _branches(node, node.outputs[0].name or "attention")
        replace(node.outputs[0], add_node(node, "If", [whole[id(mask)]], like=node.outputs[0], attributes=attributes))
        count += 1
    if count:
        remove_dead(model)
    return count


def mask_of_padding(node: onnx_ir.Node) -> onnx_ir.Value | None:
    """int (batch, keys): the mask of an attention of one result; None: it is no such node, or has none."""
    if node.op_type != "MultiHeadAttention" or node.domain != MICROSOFT or any(o.uses() for o in node.outputs[1:]):
        return None
    mask = node.inputs[_MASK] if len(node.inputs) > _MASK else None
    return mask if rank(mask) == 2 else None


def without_mask(graph: onnx_ir.Graph, into: NewNodes, node: onnx_ir.Node) -> onnx_ir.Value:
    """The nodes of an attention that reads no mask where nothing is padded, in a branch of `graph`; their result."""
    mask = node.inputs[_MASK]
    if mask is None:
        raise ValueError(f"{node.op_type} has no mask")
    least = into.add("ReduceMin", [mask], mask.dtype, {"keepdims": 0}, onnx_ir.Shape(()))
    whole = into.add("GreaterOrEqual", [least, _kept(graph, mask)], _BOOL, shape=onnx_ir.Shape(()))
    return into.add("If", [whole], node.outputs[0].dtype, _branches(node, into.prefix), node.outputs[0].shape)


def _kept(graph: onnx_ir.Graph, mask: onnx_ir.Value) -> onnx_ir.Value:
    """What a mask has where nothing is padded."""
    return add_constant(graph, "kept", np.array(1, np.int32 if mask.dtype == onnx_ir.DataType.INT32 else np.int64))


def _branches(node: onnx_ir.Node, prefix: str) -> dict[str, onnx_ir.Graph]:
    """The attention without its mask, and with it."""
    inputs = [None if place == _MASK else value for place, value in enumerate(node.inputs)]
    graphs = {}
    for branch, name, values in (("then_branch", "unpadded", inputs), ("else_branch", "padded", list(node.inputs))):
        into = NewNodes(f"{prefix}_{name}")
        graphs[branch] = into.graph(name, [], [into.copy(node, values)])
    return graphs
