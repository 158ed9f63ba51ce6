"""Finds the sites that quantization treats: where a graph multiplies a value by constant weights, or convolves it.

A site is one value and every MatMul, or every Conv, that reads it: they share its quantized form. Names are those of
values in the graph, which clones keep. This module knows no numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import onnx_ir

from onnxpress_exporter.passes.graph import (
    all_nodes,
    attribute_int,
    attribute_ints,
    constant,
    nodes,
    producer,
    rank,
    stored_weights,
    weights_of,
)

#: Fewer rows in the weights than this, and nothing is gained.
LEAST_WIDTH = 32
#: Fewer weights than this, and a product stays as it is: a classifier's last layer has few, and decides.
LEAST_WEIGHTS = 4_096

#: Where less than this share of a graph's multiplications is convolution, convolutions stay as they are.
LEAST_CONVOLVED = 0.2

_PRODUCTS = frozenset({"MatMul", "Gemm", "Conv", "ConvTranspose", "LSTM", "GRU"})
#: What has fewer places than it reads, by its strides.
_STRIDING = frozenset({"Conv", "MaxPool", "AveragePool"})
_ATTENTION = ("MultiHeadAttention", "GroupQueryAttention")


@dataclass(frozen=True, slots=True)
class Site:
    """`value` float32 and the outputs of the nodes that multiply it by constant weights: (batch, ..., width) of MatMuls
    or, a `convolution`, (batch, width, ...) of Convs.

    `attention`: its rows are means over those of a value projection. `weights`: the constants that hold the products'
    weights; sites that have the same ones share them.
    """

    value: str
    attention: bool
    width: int
    products: tuple[str, ...]
    weights: tuple[str, ...] = ()
    convolution: bool = False


def find_sites(model: onnx_ir.Model) -> tuple[Site, ...]:
    """Every site of the main graph: products in the graph's order, then convolutions."""
    rates = _rates(model)
    products, multiplied = _products(model, rates)
    convolutions, convolved, weights = _convolutions(model, rates)
    if weights < LEAST_WEIGHTS or convolved < LEAST_CONVOLVED * (multiplied + convolved):
        return products
    values = {site.value for site in products}
    return (*products, *(site for site in convolutions if site.value not in values))


def _rates(model: onnx_ir.Model) -> dict[str | None, float]:
    """How many rows of channels each value has for each of what the graph is given, as far as strides tell."""
    rates = {value.name: 1.0 for value in model.graph.inputs}
    for node in model.graph:
        rate = max((rates.get(value.name, 0.0) for value in node.inputs if value is not None), default=0.0)
        if node.op_type in _STRIDING:
            rate /= prod(attribute_ints(node, "strides"))
        rates |= {value.name: rate for value in node.outputs}
    return rates


def _products(model: onnx_ir.Model, rates: Mapping[str | None, float]) -> tuple[tuple[Site, ...], float]:
    """Values that MatMuls read, and how much is multiplied."""
    by_value: dict[str, list[onnx_ir.Node]] = {}
    work = 0.0
    for node in nodes(model, "MatMul"):
        value, weights = node.inputs
        array = weights_of(weights)
        if value is None or array is None or array.ndim != 2 or str(array.dtype) != "float32":
            continue
        if array.shape[0] < LEAST_WIDTH or array.size < LEAST_WEIGHTS or constant(value) is not None:
            continue
        if value.name is None or (rank(value) or 0) < 2:
            continue
        by_value.setdefault(value.name, []).append(node)
        work += array.size * rates[value.name]
    sites = []
    for name, readers in by_value.items():
        value, array = readers[0].inputs[0], weights_of(readers[0].inputs[1])
        assert value is not None and array is not None
        products = tuple(str(node.outputs[0].name) for node in readers)
        stored = tuple(str(table.name) for node in readers if (table := stored_weights(node.inputs[1])) is not None)
        sites.append(Site(name, producer(value, *_ATTENTION) is not None, int(array.shape[0]), products, stored))
    return tuple(sites), work


def _convolutions(model: onnx_ir.Model, rates: Mapping[str | None, float]) -> tuple[tuple[Site, ...], float, int]:
    """Values that Convs of pictures and sounds read, how much is multiplied, and how many weights there are."""
    by_value: dict[str, list[str]] = {}
    widths, work, weights = {}, 0.0, 0
    for node in nodes(model, "Conv"):
        value, array = node.inputs[0], constant(node.inputs[1])
        if value is None or value.name is None or array is None or array.ndim not in (3, 4):
            continue
        if str(array.dtype) != "float32" or constant(value) is not None:
            continue
        if len(node.inputs) > 2 and constant(node.inputs[2]) is None:
            continue
        by_value.setdefault(value.name, []).append(str(node.outputs[0].name))
        widths[value.name] = array.shape[1] * attribute_int(node, "group", 1)
        work += array.size * rates[node.outputs[0].name]
        weights += array.size
    sites = (
        Site(name, False, widths[name], tuple(convolutions), convolution=True)
        for name, convolutions in by_value.items()
    )
    return tuple(sites), work, weights


def skipped_products(model: onnx_ir.Model, sites: tuple[Site, ...]) -> dict[str, str]:
    """Products that no site covers, with the reason: what an artifact's card tells of what stayed as it was."""
    covered = {name for site in sites for name in site.products}
    reasons = {}
    for node in all_nodes(model):
        name = str(node.outputs[0].name)
        if node.op_type not in _PRODUCTS or name in covered:
            continue
        array = weights_of(node.inputs[1])
        if node.op_type not in ("MatMul", "Gemm"):
            reasons[name] = (
                "little work beside the products'" if node.op_type == "Conv" else f"{node.op_type} is not quantized"
            )
        elif array is not None and node.graph is not model.graph:
            reasons[name] = "in a subgraph"
        elif array is not None:
            reasons[name] = "few weights" if array.ndim == 2 else "weights of more than two axes"
    return reasons


def score_products(model: onnx_ir.Model) -> set[str]:
    """Find the products that have a column for each token, which compute the scores of a model that writes."""
    sizes = {output.shape[-1] for output in model.graph.outputs if output.name == "logits" and output.shape}
    if len(sizes) != 1:
        return set()
    (vocabulary,) = sizes
    products = set()
    for node in nodes(model, "MatMul"):
        array = weights_of(node.inputs[1])
        if array is not None and array.ndim == 2 and array.shape[1] == vocabulary:
            products.add(str(node.outputs[0].name))
    return products
