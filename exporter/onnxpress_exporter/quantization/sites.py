"""Where a graph multiplies a value by constant weights: the places that quantization treats.

A site is one value and every MatMul that reads it: they share its quantized form. Names are those of values in the
graph, which clones keep. This module knows no numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx_ir

from onnxpress_exporter.passes.graph import constant, nodes, rank

#: Fewer rows in the weights than this, and nothing is gained.
LEAST_WIDTH = 32
#: Fewer weights than this, and a product stays as it is: a classifier's last layer has few, and decides.
LEAST_WEIGHTS = 4_096

_NORMALIZATIONS = ("LayerNormalization", "SimplifiedLayerNormalization", "RMSNormalization")
_ATTENTION = ("MultiHeadAttention", "GroupQueryAttention")
#: operator -> what its output cannot be below.
ONE_SIDED: Mapping[str, float] = {"Gelu": -0.17, "FastGelu": -0.17, "Relu": 0.0, "QuickGelu": -0.17, "Softmax": 0.0}


@dataclass(frozen=True, slots=True)
class Site:
    """`value` (batch, ..., width) float32 and the outputs of the MatMuls that multiply it by constant weights.

    `kind`: "normalized" (its rows have one length), "attention" (means over the value projection's rows),
    "one-sided" (an activation function's), or "any".
    """

    value: str
    kind: str
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
        sites.append(Site(name, _kind(value), int(array.shape[0]), products))
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


def _kind(value: onnx_ir.Value) -> str:
    node = value.producer()
    if node is None:
        return "any"
    if node.op_type in _NORMALIZATIONS:
        return "normalized"
    if node.op_type in _ATTENTION:
        return "attention"
    return "one-sided" if node.op_type in ONE_SIDED else "any"
