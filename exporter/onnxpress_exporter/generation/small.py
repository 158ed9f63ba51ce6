"""The quantized variants of graphs that write text: weights of 8 or 4 bits in blocks, or numbers of 16 bits.

One product after the other is rounded and packed, so that a model's weights are never in memory as integers all at
once. Knows neither torch nor how good a variant is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir
from numpy.typing import NDArray

from onnxpress_exporter.passes.fold_bias import fold_bias
from onnxpress_exporter.passes.graph import constant, nodes, stored_weights, weights_of
from onnxpress_exporter.passes.half_precision import half_precision
from onnxpress_exporter.passes.log_normalizer import log_normalizer, without_log_normalizer
from onnxpress_exporter.passes.small_embeddings import small_embeddings
from onnxpress_exporter.passes.tied_embeddings import has_rows, tied_embeddings, tied_tables
from onnxpress_exporter.passes.weight_only import BlockWeights, weight_only
from onnxpress_exporter.quantization.calibration import calibrate, groups
from onnxpress_exporter.quantization.plan import Blocks, block_weights
from onnxpress_exporter.quantization.sites import Site, find_sites

Array = NDArray[np.float32]
Arrays = Mapping[str, NDArray[Any]]
Say = Callable[[str], None]

#: Input channels that share a scale.
BLOCK = {4: 32, 8: 32}
#: With more weights than this, channels do not make up for each other's errors: that takes a second for every million.
COMPENSATED_WEIGHTS = 150_000_000
#: Outputs that are rounded at once.
_COLUMNS = 8192


@dataclass(frozen=True, slots=True)
class Scheme:
    """How a variant is stored: products and embeddings, and the product that gives the scores with its table.

    None: as they are. `half`: numbers of 16 bits.
    """

    body: Blocks | None
    head: Blocks | None
    half: bool = False

    def __str__(self) -> str:
        if self.body == self.head:
            return str(self.body or "16 bits")
        return f"{self.body}, the scores' {self.head}"


def _blocks(bits: int, symmetric: bool = True) -> Blocks:
    return Blocks(bits, BLOCK[bits], symmetric)


_EIGHT, _FOUR, _FOUR_ZEROS = _blocks(8), _blocks(4), _blocks(4, symmetric=False)

#: precision -> what is tried until the gate lets it pass. Blocks without a zero of their own are faster to multiply.
SCHEMES: Mapping[str, tuple[Scheme, ...]] = {
    "q8": (Scheme(_EIGHT, _EIGHT),),
    "int8": (Scheme(_EIGHT, _EIGHT),),
    "q4": (Scheme(_FOUR, _FOUR), Scheme(_FOUR, _EIGHT), Scheme(_FOUR_ZEROS, _EIGHT)),
    "fp16": (Scheme(None, None, half=True),),
    "q4f16": (Scheme(_FOUR, _FOUR, half=True), Scheme(_FOUR_ZEROS, _EIGHT, half=True)),
}


def small(fp32: onnx_ir.Model, scheme: Scheme, inputs: Sequence[Arrays], say: Say) -> onnx_ir.Model:
    """A copy of a graph, stored as `scheme` says.

    Args:
        inputs: what the graph takes of real texts, one row each: rounding makes up for the errors that these would
            see. Not looked at where that would take too long, and for 8 bits, which need no such help.
    """
    model = fp32.clone()
    if scheme.body is not None and scheme.head is not None:
        sites = find_sites(model)
        ties, heads = tied_tables(model), _heads(model, sites)
        looked_at = scheme.body.bits == 4 and _weights(model, sites) <= COMPENSATED_WEIGHTS
        for number, (site, hessian) in enumerate(_watched(fp32, sites, inputs if looked_at else (), say)):
            say(f"rounding, {number / len(sites):.0%}")
            for product in site.products:
                blocks = scheme.head if product in heads else scheme.body
                known = np.diag(np.diag(hessian)) if hessian is not None and product in ties else hessian
                rounded = _rounded(_weights_of(model, product), known, blocks)
                weight_only(model, {product: rounded})
                if product in ties and has_rows(rounded):
                    tied_embeddings(model, {product: (ties[product], rounded)})
        _small_tables(model, scheme.head)
        if not scheme.half:
            fold_bias(model)
    if scheme.half:
        # Of scores of 16 bits, as they are returned: in 16 bits itself it would be wrong in the third digit.
        column = without_log_normalizer(model)
        half_precision(model, whole=is_past)
        if column is not None:
            log_normalizer(model, column)
    return model


def is_past(name: str) -> bool:
    """Whether an input or output holds keys or values, which are of 16 bits where the rest is."""
    return name.startswith(("past_key_values.", "present."))


def _heads(model: onnx_ir.Model, sites: Sequence[Site]) -> set[str]:
    """Products that have a column for each token."""
    (vocabulary,) = {
        output.shape[-1] for output in model.graph.outputs if output.name == "logits" and output.shape
    } or {0}
    return {name for site in sites for name in site.products if _weights_of(model, name).shape[1] == vocabulary}


def _weights(model: onnx_ir.Model, sites: Sequence[Site]) -> int:
    """Weights of all products but those that share their table with the words: their channels stay apart anyway."""
    ties = tied_tables(model)
    return sum(_weights_of(model, name).size for site in sites for name in site.products if name not in ties)


def _weights_of(model: onnx_ir.Model, product: str) -> Array:
    (node,) = (node for node in nodes(model, "MatMul") if node.outputs[0].name == product)
    array = weights_of(node.inputs[1])
    assert array is not None and (constant(node.inputs[1]) is not None or stored_weights(node.inputs[1]) is not None)
    return array


def _watched(
    model: onnx_ir.Model, sites: Sequence[Site], inputs: Sequence[Arrays], say: Say
) -> Iterator[tuple[Site, Array | None]]:
    """Each site with the correlations of its channels; a few sites' at a time are in memory."""
    if not inputs:
        yield from ((site, None) for site in sites)
        return
    for group in groups(sites):
        found = calibrate(model, group, inputs, lambda share: say(f"watching real inputs, {share:.0%}"))
        for site in group:
            yield site, found.pop(site.value).hessian


def _rounded(weights: Array, hessian: Array | None, blocks: Blocks) -> BlockWeights:
    parts = [
        block_weights(np.ascontiguousarray(weights[:, start : start + _COLUMNS]), hessian, blocks)
        for start in range(0, weights.shape[1], _COLUMNS)
    ]
    if len(parts) == 1:
        return parts[0]
    return BlockWeights(
        np.concatenate([one.integers for one in parts], axis=1),
        np.concatenate([one.scales for one in parts], axis=1),
        np.concatenate([one.zeros for one in parts], axis=1),
        blocks.bits,
        blocks.block,
    )


def _small_tables(model: onnx_ir.Model, blocks: Blocks) -> None:
    def rounding(rows: Array, block: int) -> BlockWeights:
        return block_weights(rows, None, Blocks(blocks.bits, block))

    small_embeddings(model, rounding, blocks.block)
