"""Divide a value's channels by constants and multiply the weights that read it: the same products, evener channels.

    MatMul(x, W) -> MatMul(Mul(x, 1 / s), diag(s) W)
    MatMul(MultiHeadAttention(..., MatMul(y, V)), W) -> the same with V / s: means of scaled rows are scaled means

A few channels of a transformer's activations are far larger than the rest and would take the whole range of an 8-bit
integer. (Xiao, Lin, Seznec, Wu, Demouth, Han: SmoothQuant, ICML 2023.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir
from numpy.typing import NDArray

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
    weights_of,
)

Factors = NDArray[np.float32]


def balance(model: onnx_ir.Model, factors: Mapping[str, tuple[Sequence[str], Factors]]) -> int:
    """Balance values of `model` in place; returns how many.

    Args:
        factors: value's name -> the outputs of the MatMuls that read it, and float32 (channels) to divide it by.
    """
    order = {id(node): place for place, node in enumerate(model.graph)}
    for name, (readers, divisor) in factors.items():
        value, products = _readers(model, name, readers)
        reciprocal = add_constant(model.graph, f"{name}_balance", (1 / divisor).astype(np.float32))
        first = min(products, key=lambda node: order[id(node)])
        balanced = add_node(first, "Mul", [value, reciprocal], dtype=value.dtype, shape=axes(value))
        for node in products:
            node.replace_input_with(0, balanced)
        _multiply(model.graph, products, divisor)
    if factors:
        remove_dead(model)
    return len(factors)


def balance_attention(model: onnx_ir.Model, name: str, readers: Sequence[str], divisor: Factors) -> bool:
    """Balance the result of an attention by dividing its value projection, at no cost; returns whether it could.

    Args:
        name, readers, divisor: as in `balance`.
    """
    value, products = _readers(model, name, readers)
    if not _divide_projection(model.graph, value, products, divisor):
        return False
    _multiply(model.graph, products, divisor)
    remove_dead(model)
    return True


def _readers(model: onnx_ir.Model, name: str, readers: Sequence[str]) -> tuple[onnx_ir.Value, list[onnx_ir.Node]]:
    products = {node.outputs[0].name: node for node in nodes(model, "MatMul")}
    products_read = [products[reader] for reader in readers]
    value = products_read[0].inputs[0]
    if value is None or value.name != name:
        raise ValueError(f"{readers[0]} does not read {name}")
    return value, products_read


def _multiply(graph: onnx_ir.Graph, readers: Sequence[onnx_ir.Node], divisor: Factors) -> None:
    for node in readers:
        weights = weights_of(node.inputs[1])
        if weights is None:
            raise ValueError(f"{node.outputs[0].name} has no constant weights")
        node.replace_input_with(1, _multiplied(graph, f"{node.outputs[0].name}_balanced", weights, divisor))


def _multiplied(graph: onnx_ir.Graph, name: str, weights: NDArray[Any], divisor: Factors) -> onnx_ir.Value:
    """Weights that are multiplied once they are read: where integers replace them, they never are."""

    def multiply() -> onnx_ir.TensorProtocol:
        return onnx_ir.Tensor((weights * divisor[:, None]).astype(np.float32), name=name)

    constant = add_constant(graph, name, np.zeros((), np.float32))
    shape = onnx_ir.Shape(weights.shape)
    constant.const_value = onnx_ir.LazyTensor(multiply, onnx_ir.DataType.FLOAT, shape, name=constant.name)
    constant.shape = shape
    return constant


def _divide_projection(
    graph: onnx_ir.Graph, value: onnx_ir.Value, readers: Sequence[onnx_ir.Node], divisor: Factors
) -> bool:
    """Divide the value projection of an attention, if nothing else reads it or the attention's result."""
    attention = producer(value, "MultiHeadAttention")
    if attention is None or attention.domain != MICROSOFT or value.is_graph_output():
        return False
    if {id(node) for node in consumers(value)} != {id(node) for node in readers}:
        return False
    projection = producer(attention.inputs[2], "MatMul")
    weights = None if projection is None else weights_of(projection.inputs[1])
    if projection is None or weights is None or weights.ndim != 2 or len(consumers(projection.outputs[0])) != 1:
        return False
    joined = attention.inputs[3] if len(attention.inputs) > 3 else None
    bias = None if joined is None else constant(joined)
    if weights.shape[1] != len(divisor) or (joined is not None and bias is None):
        return False
    name = projection.outputs[0].name
    projection.replace_input_with(1, add_constant(graph, f"{name}_divided", (weights / divisor).astype(np.float32)))
    if bias is not None:
        changed = bias.astype(np.float32).copy()
        changed[-len(divisor) :] /= divisor
        attention.replace_input_with(3, add_constant(graph, f"{name}_divided_bias", changed))
    return True
