"""The formulations that a tuner tries: one row each, which names passes over a variant's own graph.

A formulation computes the same in other nodes, and reads the same weights. Where its passes find nothing to rewrite, it
does not apply. To try another one, write a pass and add a row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import onnx_ir

from onnxpress.format.variants import UsualPlace
from onnxpress_exporter.passes.grouped_queries import grouped_heads

#: So many queries to a key are faster in a group (measured on AVX-512: 7 take 0.55 of the time, 4 would take as long).
WORTH_GROUPING = 6


@dataclass(frozen=True, slots=True)
class Formulation:
    """`name`: as the manifest has it; `about`: what is other than in the default form, in words; `passes`: rewrites by
    their modules' names in `onnxpress_exporter.passes`, in order. `constants`: whether values get constant ranges
    first, as many as the gate passes together with the row's passes (`constants.py`).
    `device`: the family of devices that it is for; one for others than processors is judged here, and not timed.
    `finish`: passes over the graphs that are kept, after they were judged. `usual`: where it runs though nobody timed
    it, told by a variant's own graph; such a form is made and judged with every variant whose weights have a file.
    """

    name: str
    about: str
    passes: tuple[str, ...] = ()
    constants: bool = False
    device: str = "cpu"
    finish: tuple[str, ...] = ()
    usual: Callable[[onnx_ir.Model], UsualPlace | None] | None = None


def _few_cores_and_shared_keys(model: onnx_ir.Model) -> UsualPlace | None:
    """There are as many tasks as heads of keys, where otherwise there are as many as heads of queries."""
    heads = [(heads, kv_heads) for heads, kv_heads in grouped_heads(model) if heads >= WORTH_GROUPING * kv_heads]
    return UsualPlace(min(kv_heads for _, kv_heads in heads), "1.31") if heads else None


FORMULATIONS: tuple[Formulation, ...] = (
    Formulation(
        "blocks-unpacked",
        "weights in blocks become fp32 when the graph is loaded: faster for long inputs, and more memory",
        ("unpack_blocks",),
    ),
    Formulation(
        "constants",
        "values that bear it have one constant range for all rows, and weights in blocks become fp32 when the graph is "
        "loaded, so that more values bear it",
        ("unpack_blocks",),
        constants=True,
    ),
    Formulation(
        "attention-joined",
        "queries, keys and values are one product inside attention; of integers where their range is constant",
        ("joined_attention",),
    ),
    Formulation("extremes", "a row's range comes from its largest and its smallest value", ("row_extremes",)),
    Formulation("signed", "activations are signed integers", ("signed_activations",)),
    Formulation("attention-in-products", "attention is plain products and a softmax", ("plain_attention",)),
    Formulation("maskless", "attention reads no mask where nothing is padded", ("maskless_attention",)),
    Formulation(
        "queries-grouped",
        "a step of one row reads each key once for all queries that share it",
        ("grouped_queries",),
        finish=("grouped_when_long",),
        usual=_few_cores_and_shared_keys,
    ),
    Formulation("norms-fused", "a residual connection and its normalization are one node", ("skip_norms",)),
    Formulation("gelu-approximated", "GELU is computed by its approximation with tanh", ("fast_gelu",)),
    Formulation(
        "openvino",
        "products between QuantizeLinear and DequantizeLinear, and attention in products, as OpenVINO reads them",
        ("quantize_dequantize", "unpack_blocks", "plain_attention"),
        constants=True,
        device="openvino",
    ),
)
