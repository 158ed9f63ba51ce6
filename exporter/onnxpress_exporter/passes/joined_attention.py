"""Attention of one input over itself -> one node with one product, over the weights that are there.

    MultiHeadAttention(x @ Wq, x @ Wk, x @ Wv, biases, mask)
    -> Attention(x, Concat(Wq, Wk, Wv), biases, mask)

and of integers with one constant range,

    MultiHeadAttention(MatMulIntegerToFloat(q, Wq, unit, scales, zero, 0), ..., biases, mask)
    -> QAttention(q, Concat(Wq, Wk, Wv), biases, unit, Concat(scales), mask, zero, 0)

Weights are joined when the graph is loaded, so that the file of weights stays as it is. The operator writes each head's
queries, keys and values where its attention reads them; the answers are bit for bit the same.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir

from onnxpress_exporter.passes.graph import (
    MICROSOFT,
    add_node,
    attribute_float,
    attribute_int,
    axes,
    constant,
    remove_dead,
    replace,
    zero_point,
)
from onnxpress_exporter.passes.packed_attention import SelfAttention, one_product, self_attentions

#: Inputs of an integer product.
_WEIGHTS, _UNIT, _SCALES, _ZERO, _WEIGHTS_ZERO, _BIAS = range(1, 7)


def joined_attention(model: onnx_ir.Model) -> int:
    """Rewrite every attention of `model` that has one of these forms, in place; how many there were."""
    count = 0
    for attention in self_attentions(model):
        if all(product.inputs[_WEIGHTS] is not None for product in attention.products):
            one_product(attention, _join(attention, _WEIGHTS, onnx_ir.DataType.FLOAT))
            count += 1
    for attention in self_attentions(model, "MatMulIntegerToFloat"):
        count += _of_integers(model.graph, attention)
    if count:
        remove_dead(model)
    return count


def _of_integers(graph: onnx_ir.Graph, attention: SelfAttention) -> bool:
    node, first = attention.node, attention.products[0]
    alike = all(
        product.inputs[place] is first.inputs[place] for product in attention.products for place in (_UNIT, _ZERO)
    )
    # The operator of integers has no scale but the usual one, and adds nothing to the scores.
    usual = math.sqrt(attribute_int(node, "num_heads", 1) / attention.columns)
    if (
        not alike
        or attention.scores is not None
        or not math.isclose(attribute_float(node, "scale", usual) or usual, usual, rel_tol=1e-6)
    ):
        return False
    if not all(_plain(product, attention.columns) for product in attention.products):
        return False
    inputs = [
        attention.x,
        _join(attention, _WEIGHTS, onnx_ir.DataType.INT8),
        attention.joined_biases(),
        first.inputs[_UNIT],
        _join(attention, _SCALES, onnx_ir.DataType.FLOAT),
        attention.mask,
        first.inputs[_ZERO],
        zero_point(graph, 0, np.int8),
    ]
    attributes = {name: value for name, value in attention.attributes().items() if name != "scale"}
    output = add_node(node, "QAttention", inputs, like=node.outputs[0], attributes=attributes, domain=MICROSOFT)
    replace(node.outputs[0], output)
    return True


def _plain(product: onnx_ir.Node, columns: int) -> bool:
    """Whether weights are int8 around 0 with a scale for each output, activations uint8, and no bias is added."""
    inputs = [*product.inputs, *[None] * (7 - len(product.inputs))]
    weights, scales, zero, weights_zero = (
        constant(inputs[place]) for place in (_WEIGHTS, _SCALES, _ZERO, _WEIGHTS_ZERO)
    )
    if weights is None or weights.dtype != np.int8 or zero is None or zero.dtype != np.uint8:
        return False
    around_zero = weights_zero is None or not weights_zero.any()
    return scales is not None and scales.shape == (columns,) and around_zero and inputs[_BIAS] is None


def _join(attention: SelfAttention, place: int, dtype: onnx_ir.DataType) -> onnx_ir.Value:
    """These inputs of the three products beside each other."""
    values = [product.inputs[place] for product in attention.products]
    shape = axes(values[0])
    joined = None if shape is None else (*shape[:-1], 3 * attention.columns)
    return add_node(attention.node, "Concat", values, dtype=dtype, shape=joined, attributes={"axis": -1})
