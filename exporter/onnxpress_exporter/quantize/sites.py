"""Finds the sites that quantization treats: where a graph multiplies a value by constant weights, or convolves it.

A site is one value and every MatMul, or every Conv, that reads it: they share its quantized form. Names are those of
values in the graph, which clones keep. This module knows no numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir

from onnxpress_exporter.passes.graph import (
    all_nodes,
    attribute_int,
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

#: Convolutions stay as they are in a graph of products: where they have a smaller share of the weights than this.
LEAST_CONVOLVED = 0.2

_PRODUCTS = frozenset({"MatMul", "Gemm", "Conv", "ConvTranspose", "LSTM", "GRU"})
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
    products, multiplied = _products(model)
    convolutions, convolved = _convolutions(model)
    few = convolved < max(LEAST_WEIGHTS, LEAST_CONVOLVED * (multiplied + convolved))
    if few:
        return products
    values = {site.value for site in products}
    return (*products, *(site for site in convolutions if site.value not in values))


def _products(model: onnx_ir.Model) -> tuple[tuple[Site, ...], int]:
    """Values that MatMuls read, and how many weights these have."""
    by_value: dict[str, list[onnx_ir.Node]] = {}
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
    sites, count = [], 0
    for name, readers in by_value.items():
        value, array = readers[0].inputs[0], weights_of(readers[0].inputs[1])
        assert value is not None and array is not None
        products = tuple(str(node.outputs[0].name) for node in readers)
        count += sum(array.size for node in readers if (array := weights_of(node.inputs[1])) is not None)
        stored = tuple(str(table.name) for node in readers if (table := stored_weights(node.inputs[1])) is not None)
        sites.append(Site(name, producer(value, *_ATTENTION) is not None, int(array.shape[0]), products, stored))
    return tuple(sites), count


def _convolutions(model: onnx_ir.Model) -> tuple[tuple[Site, ...], int]:
    """Values that Convs of pictures read, and how many weights these have."""
    by_value: dict[str, list[str]] = {}
    widths, count = {}, 0
    for node in nodes(model, "Conv"):
        value, array = node.inputs[0], constant(node.inputs[1])
        if value is None or value.name is None or array is None or array.ndim != 4 or str(array.dtype) != "float32":
            continue
        if constant(value) is not None or (len(node.inputs) > 2 and constant(node.inputs[2]) is None):
            continue
        by_value.setdefault(value.name, []).append(str(node.outputs[0].name))
        widths[value.name] = array.shape[1] * attribute_int(node, "group", 1)
        count += array.size
    sites = (
        Site(name, False, widths[name], tuple(convolutions), convolution=True)
        for name, convolutions in by_value.items()
    )
    return tuple(sites), count


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
                "few weights beside the products'" if node.op_type == "Conv" else f"{node.op_type} is not quantized"
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
