"""Weights of 8 or 4 bits in blocks, tables too, and numbers of 16 bits: how graphs that may be large are stored.

One product after the other is rounded and packed, so that a model's weights are never in memory as integers all at
once. Knows neither torch nor how good a variant is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
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
from onnxpress_exporter.precisions.row import Blocks
from onnxpress_exporter.quantize.calibration import calibrate, groups
from onnxpress_exporter.quantize.plan import block_weights
from onnxpress_exporter.quantize.settings import Say
from onnxpress_exporter.quantize.sites import Site, find_sites

Array = NDArray[np.float32]
Arrays = Mapping[str, NDArray[Any]]

#: Input channels that share a scale where their number is not one of whole wider blocks.
BLOCK = 32
#: Seconds that may be spent on letting channels make up for each other's errors, about; the narrowest sites come first.
COMPENSATION_S = 240.0
#: Outputs that are rounded at once.
_COLUMNS = 8192


def store(
    fp32: onnx_ir.Model,
    plan: Mapping[str, Blocks],
    tables: Blocks | None,
    inputs: Sequence[Arrays],
    say: Say,
    *,
    half: bool,
) -> onnx_ir.Model:
    """A copy of a graph with products and tables in blocks.

    Args:
        plan: site's value -> how its products are stored; others stay as they are.
        tables: how large tables are stored; None: as they are.
        inputs: what the graph takes of real texts, one row each: weights of 4 bits are rounded so that channels make up
            for the errors that these would see, where there is time. 8 bits need no such help.
        half: whether everything else has 16 bits.
    """
    model = fp32.clone()
    sites = [site for site in find_sites(model) if site.value in plan]
    ties = tied_tables(model)
    looked_at = _compensated(model, sites) if inputs and any(blocks.bits == 4 for blocks in plan.values()) else ()
    for number, (site, hessian) in enumerate(_watched(fp32, sites, looked_at, inputs, say)):
        say(f"rounding, {number / len(sites):.0%}")
        for product in site.products:
            rounded = _rounded(_weights_of(model, product), hessian, plan[site.value])
            weight_only(model, {product: rounded})
            if product in ties and has_rows(rounded):
                tied_embeddings(model, {product: (ties[product], rounded)})
    if tables is not None:
        store_tables(model, tables)
    if plan and not half:
        fold_bias(model)
    if half:
        halve(model)
    return model


def store_tables(model: onnx_ir.Model, blocks: Blocks) -> None:
    """Store large tables that are read by rows in blocks, in place."""

    def rounding(rows: Array, block: int) -> BlockWeights:
        return block_weights(rows, None, Blocks(blocks.bits, block))

    small_embeddings(model, rounding, blocks.block)


def halve(model: onnx_ir.Model) -> None:
    """Make everything that is not quantized 16 bits, in place; caches too, other inputs and outputs not."""
    # Of scores of 16 bits, as they are returned: in 16 bits itself it would be wrong in the third digit.
    column = without_log_normalizer(model)
    half_precision(model, whole=is_past)
    if column is not None:
        log_normalizer(model, column)


def is_past(name: str) -> bool:
    """Whether an input or output holds keys or values, which are of 16 bits where the rest is."""
    return name.startswith(("past_key_values.", "present."))


def _compensated(model: onnx_ir.Model, sites: Sequence[Site]) -> list[Site]:
    """Choose the sites that there is time for.

    Sites that share their table with the words are left out: their channels stay apart.
    """
    ties = tied_tables(model)
    chosen, spent_s = [], 0.0
    for site in sorted(sites, key=lambda site: site.width):
        if ties.keys() & set(site.products):
            continue
        outputs = sum(_weights_of(model, name).shape[1] for name in site.products)
        # Measured on one core: an inverse, and an update for each channel.
        spent_s += 1.35e-10 * site.width**3 + 2.2e-7 * site.width * outputs
        if spent_s > COMPENSATION_S:
            break
        chosen.append(site)
    return [site for site in sites if site in chosen]


def _weights_of(model: onnx_ir.Model, product: str) -> Array:
    (node,) = (node for node in nodes(model, "MatMul") if node.outputs[0].name == product)
    array = weights_of(node.inputs[1])
    assert array is not None and (constant(node.inputs[1]) is not None or stored_weights(node.inputs[1]) is not None)
    return array


def _watched(
    model: onnx_ir.Model, sites: Sequence[Site], looked_at: Sequence[Site], inputs: Sequence[Arrays], say: Say
) -> Iterator[tuple[Site, Array | None]]:
    """Each site, with the correlations of its channels where they are wanted; a few sites' at a time are in memory."""
    yield from ((site, None) for site in sites if site not in looked_at)
    for group in groups(looked_at):
        statistics = calibrate(model, group, inputs, lambda share: say(f"watching real inputs, {share:.0%}"))
        for site in group:
            yield site, statistics.pop(site.value).hessian


def _rounded(weights: Array, hessian: Array | None, blocks: Blocks) -> BlockWeights:
    if len(weights) % blocks.block:  # the last block would be filled up
        blocks = replace(blocks, block=min(blocks.block, BLOCK))
    parts = [
        block_weights(np.ascontiguousarray(weights[:, start : start + _COLUMNS]), hessian, blocks)
        for start in range(0, weights.shape[1], _COLUMNS)
    ]
    if len(parts) == 1:
        return parts[0]
    return BlockWeights(
        np.concatenate([part.integers for part in parts], axis=1),
        np.concatenate([part.scales for part in parts], axis=1),
        np.concatenate([part.zeros for part in parts], axis=1),
        blocks.bits,
        blocks.block,
    )
