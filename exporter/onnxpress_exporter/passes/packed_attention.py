"""Attention of one input over itself -> one node with one product for queries, keys and values, as GPUs want it.

    MultiHeadAttention(x @ Wq, x @ Wk, x @ Wv, [biases], mask, bias of scores)
    -> Attention(x, [Wq Wk Wv], [biases], mask, , bias of scores)

Where queries come from other rows than keys, as in a last layer that is computed for one token, nothing changes. Layers
that share their weights share the packed ones.
"""

from __future__ import annotations

import numpy as np
import onnx_ir

from onnxpress_exporter.passes.graph import (
    MICROSOFT,
    add_constant,
    add_node,
    axes,
    constant,
    consumers,
    nodes,
    producer,
    remove_dead,
    replace,
    unused_name,
    weights_of,
)

#: Attributes that both operators have.
_SHARED = ("num_heads", "scale", "mask_filter_value", "unidirectional")


def packed_attention(model: onnx_ir.Model) -> int:
    """Rewrite every attention of `model` that has this form, in place; how many there were."""
    shared: dict[tuple[str | None, ...], onnx_ir.Value] = {}
    count = sum(_pack(model.graph, node, shared) for node in nodes(model, "MultiHeadAttention"))
    if count:
        remove_dead(model)
    return count


def _pack(graph: onnx_ir.Graph, node: onnx_ir.Node, shared: dict[tuple[str | None, ...], onnx_ir.Value]) -> bool:
    inputs = [*node.inputs, *[None] * (8 - len(node.inputs))]
    products = [producer(value, "MatMul") for value in inputs[:3]]
    biases, mask, scores = inputs[3:6]
    plain = all(output.is_graph_output() is False and not output.uses() for output in node.outputs[1:])
    if any(product is None for product in products) or any(inputs[6:]) or not plain:
        return False
    matmuls = [product for product in products if product is not None]
    x = matmuls[0].inputs[0]
    weights = [weights_of(product.inputs[1]) for product in matmuls]
    arrays = [array for array in weights if array is not None and array.ndim == 2]
    results = [product.outputs[0] for product in matmuls]
    alone = all(len(consumers(value)) == 1 and not value.is_graph_output() for value in results)
    if len(arrays) != 3 or not alone or any(product.inputs[0] is not x for product in matmuls):
        return False
    shape = axes(x)
    # The operator knows masks of keys alone, int32 (batch, keys), and rows of three axes.
    if x is None or shape is None or len(shape) != 3 or len({array.shape for array in arrays}) != 1:
        return False
    mask_shape = axes(mask)
    if mask is not None and (mask_shape is None or len(mask_shape) != 2):
        return False
    if biases is None:
        biases = add_constant(
            graph,
            unused_name(graph, f"{matmuls[0].outputs[0].name}_no_bias"),
            np.zeros(3 * arrays[0].shape[1], np.float32),
        )
    elif constant(biases) is None:
        return False
    names = tuple(None if value is None else value.name for value in (product.inputs[1] for product in matmuls))
    if names not in shared:
        name = unused_name(graph, f"{matmuls[0].outputs[0].name}_qkv")
        shared[names] = add_constant(graph, name, np.concatenate(arrays, axis=1, dtype=np.float32))
    attributes = {name: node.attributes[name] for name in _SHARED if name in node.attributes}
    taken: list[onnx_ir.Value | None] = [x, shared[names], biases, mask, None, scores]
    while taken[-1] is None:
        taken.pop()
    output = add_node(node, "Attention", taken, like=node.outputs[0], attributes=attributes, domain=MICROSOFT)
    replace(node.outputs[0], output)
    return True
