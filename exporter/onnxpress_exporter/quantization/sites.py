"""Where a graph multiplies a value by constant weights: the places that quantization treats.

A site is one value and every MatMul that reads it: they share its quantized form. Names are those of values in the
graph, which clones keep. This module knows no numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir

from onnxpress_exporter.passes.graph import constant, nodes, producer, rank

#: Fewer rows in the weights than this, and nothing is gained.
LEAST_WIDTH = 32
#: Fewer weights than this, and a product stays as it is: a classifier's last layer has few, and decides.
LEAST_WEIGHTS = 4_096

_ATTENTION = ("MultiHeadAttention", "GroupQueryAttention")


@dataclass(frozen=True, slots=True)
class Site:
    """`value` (batch, ..., width) float32 and the outputs of the MatMuls that multiply it by constant weights.

    `attention`: its rows are means over those of a value projection.
    """

    value: str
    attention: bool
    width: int
    products: tuple[str, ...]


def find_sites(model: onnx_ir.Model) -> tuple[Site, ...]:
    """Every site of the main graph, in the graph's order."""
    found: dict[str, list[onnx_ir.Node]] = {}
    for node in nodes(model, "MatMul"):
        value, weights = node.inputs
        array = None if weights is None else constant(weights)
        if value is None or array is None or array.ndim != 2 or str(array.dtype) != "float32":
            continue
        if array.shape[0] < LEAST_WIDTH or array.size < LEAST_WEIGHTS or constant(value) is not None:
            continue
        if value.name is None or (rank(value) or 0) < 2:
            continue
        found.setdefault(value.name, []).append(node)
    sites = []
    for name, readers in found.items():
        value, array = readers[0].inputs[0], constant(readers[0].inputs[1])
        assert value is not None and array is not None
        products = tuple(str(node.outputs[0].name) for node in readers)
        sites.append(Site(name, producer(value, *_ATTENTION) is not None, int(array.shape[0]), products))
    return tuple(sites)


def skipped_products(model: onnx_ir.Model, sites: tuple[Site, ...]) -> dict[str, str]:
    """Products that no site covers, with the reason: what an artifact's card tells of what stayed in fp32."""
    covered = {name for site in sites for name in site.products}
    reasons = {}
    for node in nodes(model, "MatMul", "Gemm", "Conv", "ConvTranspose", "LSTM", "GRU"):
        name = str(node.outputs[0].name)
        if name in covered:
            continue
        if node.op_type not in ("MatMul", "Gemm"):
            reasons[name] = f"{node.op_type} stays in fp32"
            continue
        array = constant(node.inputs[1])
        if array is not None and array.ndim == 2:
            reasons[name] = "few weights"
        elif array is not None:
            reasons[name] = "weights of more than two axes"
    return reasons
