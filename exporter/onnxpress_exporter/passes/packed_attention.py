"""Attention of one input over itself -> one node with one product for queries, keys and values, as GPUs want it.

    MultiHeadAttention(x @ Wq, x @ Wk, x @ Wv, [biases], mask, bias of scores)
    -> Attention(x, [Wq Wk Wv], [biases], mask, , bias of scores)

Where queries come from other rows than keys, as in a last layer that is computed for one token, nothing changes. Layers
that share their weights share the packed ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class SelfAttention:
    """An attention of `x` (batch, sequence, width) over itself: the `products` of queries, keys and values, which
    nothing else reads and whose weights are constant and of one shape, (width, `columns`) each; `biases` of all three,
    a constant or None; `mask`, of keys alone, (batch, keys), or None; what is added to the `scores`, or None."""

    node: onnx_ir.Node
    x: onnx_ir.Value
    products: tuple[onnx_ir.Node, onnx_ir.Node, onnx_ir.Node]
    columns: int
    biases: onnx_ir.Value | None
    mask: onnx_ir.Value | None
    scores: onnx_ir.Value | None

    def attributes(self) -> dict[str, onnx_ir.Attr]:
        """Those that the operators with one product have as well."""
        return {name: self.node.attributes[name] for name in _SHARED if name in self.node.attributes}

    def joined_biases(self) -> onnx_ir.Value:
        """float32 (3 * columns): zeros where there are none, which the operators with one product ask for."""
        graph = self.node.graph
        assert graph is not None
        name = unused_name(graph, f"{self.products[0].outputs[0].name}_no_bias")
        return self.biases or add_constant(graph, name, np.zeros(3 * self.columns, np.float32))


def self_attentions(model: onnx_ir.Model, operator: str = "MatMul") -> Iterator[SelfAttention]:
    """Every attention of that kind, listed first so that the graph may change.

    Args:
        operator: of the products.
    """
    patterns = [_self_attention(node, operator) for node in nodes(model, "MultiHeadAttention")]
    yield from (pattern for pattern in patterns if pattern is not None)


def packed_attention(model: onnx_ir.Model) -> int:
    """Rewrite every attention of `model` that has this form, in place; how many there were."""
    shared: dict[tuple[str | None, ...], onnx_ir.Value] = {}
    count = 0
    for attention in self_attentions(model):
        values = [product.inputs[1] for product in attention.products]
        names = tuple(None if value is None else value.name for value in values)
        if names not in shared:
            name = unused_name(model.graph, f"{attention.products[0].outputs[0].name}_qkv")
            arrays = [array for value in values if (array := weights_of(value)) is not None]
            shared[names] = add_constant(model.graph, name, np.concatenate(arrays, axis=1, dtype=np.float32))
        one_product(attention, shared[names])
        count += 1
    if count:
        remove_dead(model)
    return count


def one_product(attention: SelfAttention, weights: onnx_ir.Value) -> None:
    """Write the operator that multiplies by joined weights, float32 (width, 3 * columns), itself."""
    inputs = [attention.x, weights, attention.joined_biases(), attention.mask, None, attention.scores]
    while inputs[-1] is None:
        inputs.pop()
    node = attention.node
    attributes = attention.attributes()
    output = add_node(node, "Attention", inputs, like=node.outputs[0], attributes=attributes, domain=MICROSOFT)
    replace(node.outputs[0], output)


def _self_attention(node: onnx_ir.Node, operator: str) -> SelfAttention | None:
    inputs = [*node.inputs, *[None] * (8 - len(node.inputs))]
    biases, mask, scores = inputs[3:6]
    products = [product for value in inputs[:3] if (product := producer(value, operator)) is not None]
    plain = all(output.is_graph_output() is False and not output.uses() for output in node.outputs[1:])
    if len(products) != 3 or any(inputs[6:]) or not plain:
        return None
    x = products[0].inputs[0]
    arrays = [array for product in products if (array := weights_of(product.inputs[1])) is not None and array.ndim == 2]
    results = [product.outputs[0] for product in products]
    alone = all(len(consumers(value)) == 1 and not value.is_graph_output() for value in results)
    if len(arrays) != 3 or not alone or any(product.inputs[0] is not x for product in products):
        return None
    shape = axes(x)
    # The operators know masks of keys alone, int32 (batch, keys), and rows of three axes.
    if x is None or shape is None or len(shape) != 3 or len({array.shape for array in arrays}) != 1:
        return None
    mask_shape = axes(mask)
    if mask is not None and (mask_shape is None or len(mask_shape) != 2):
        return None
    if biases is not None and constant(biases) is None:
        return None
    first, second, third = products
    return SelfAttention(node, x, (first, second, third), int(arrays[0].shape[1]), biases, mask, scores)
