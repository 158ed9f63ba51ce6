"""Products' weights -> integers in blocks, whose channels make up for each other's errors where there is time for it.

Of a graph that may be large, one product after the other is rounded and handed on, so that its integers are never in
memory all at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx_ir
from numpy.typing import NDArray

from onnxpress_exporter.passes.weight_only import BlockWeights
from onnxpress_exporter.precisions.row import Blocks
from onnxpress_exporter.quantize.calibration import Statistics, calibrate, groups
from onnxpress_exporter.quantize.plan import block_weights
from onnxpress_exporter.quantize.settings import Say
from onnxpress_exporter.quantize.sites import Site

Array = NDArray[np.float32]
Arrays = Mapping[str, NDArray[Any]]

#: Input channels that share a scale where their number is not one of whole wider blocks.
BLOCK = 32
#: Seconds that may be spent on letting channels make up for each other's errors, about; the narrowest sites come first.
COMPENSATION_S = 240.0
#: Outputs that are rounded at once.
_COLUMNS = 8192


class BlockRounding:
    """Rounds the weights of one graph's products.

    Args:
        model: the graph.
        sites: its products' sites, by the value that they read.
        tied: values of products that share their table with the words: its channels stay apart.
        large: whether nothing that was rounded is kept for the next plan.
    """

    def __init__(
        self, model: onnx_ir.Model, sites: Mapping[str, Site], tied: Collection[str], *, large: bool = False
    ) -> None:
        self._model = model
        self._sites = sites
        self._tied = tied
        self._large = large
        self._rounded: dict[tuple[str, Blocks], dict[str, BlockWeights]] = {}

    def rounded(
        self,
        plan: Mapping[str, Blocks],
        weights: Mapping[str, Array],
        statistics: Mapping[str, Statistics],
        inputs: Sequence[Arrays],
        say: Say,
    ) -> Iterator[Mapping[str, BlockWeights]]:
        """Blocks of weights by product, a few products at a time.

        Args:
            plan: how the products of a site are stored, by its value.
            weights: float32 (channels, outputs), by product.
            statistics: what was watched of sites; none of a graph that is not watched.
            inputs: of such a graph, what it takes of real texts, one row each.
        """
        for number, (site, hessian) in enumerate(self._correlated(plan, weights, statistics, inputs, say)):
            if self._large:
                say(f"rounding, {number / len(plan):.0%}")
                for name in site.products:
                    yield {name: in_blocks(weights[name], hessian, plan[site.value])}
                continue
            key = (site.value, plan[site.value])
            if key not in self._rounded:
                self._rounded[key] = {name: in_blocks(weights[name], hessian, key[1]) for name in site.products}
            yield self._rounded[key]

    def _correlated(
        self,
        plan: Mapping[str, Blocks],
        weights: Mapping[str, Array],
        statistics: Mapping[str, Statistics],
        inputs: Sequence[Arrays],
        say: Say,
    ) -> Iterator[tuple[Site, Array | None]]:
        """Each site of a plan, with the correlations of its channels where they are known, or there is time for them.

        Only 4 bits need such help where a graph is not watched, and a few sites' correlations are in memory at a time.
        """
        sites = [site for value, site in self._sites.items() if value in plan]
        if statistics or not inputs or all(blocks.bits != 4 for blocks in plan.values()):
            for site in sites:
                known = statistics.get(site.value)
                yield site, None if known is None else known.hessian
            return
        looked_at = self._compensated(sites, weights)
        yield from ((site, None) for site in sites if site not in looked_at)
        for group in groups(looked_at):
            watched = calibrate(self._model, group, inputs, lambda share: say(f"watching real inputs, {share:.0%}"))
            for site in group:
                yield site, watched.pop(site.value).hessian

    def _compensated(self, sites: Sequence[Site], weights: Mapping[str, Array]) -> list[Site]:
        """Choose the sites that there is time for, but none whose channels stay apart."""
        chosen, spent_s = [], 0.0
        for site in sorted(sites, key=lambda site: site.width):
            if site.value in self._tied:
                continue
            outputs = sum(weights[name].shape[1] for name in site.products)
            # Measured on one core: an inverse, and an update for each channel.
            spent_s += 4e-11 * site.width**3 + 8e-8 * site.width * outputs
            if spent_s > COMPENSATION_S:
                break
            chosen.append(site)
        return [site for site in sites if site in chosen]


def in_blocks(weights: Array, hessian: Array | None, blocks: Blocks) -> BlockWeights:
    """Round a product's weights, some outputs at a time.

    Args:
        weights: float32 (channels, outputs).
        hessian: float32 (channels, channels), their correlations; None: each number is rounded for itself.
    """
    if len(weights) % blocks.block:  # the last block would be filled up
        blocks = replace(blocks, block=min(blocks.block, BLOCK))
    parts = [
        block_weights(np.ascontiguousarray(weights[:, start : start + _COLUMNS]), hessian, blocks)
        for start in range(0, weights.shape[1], _COLUMNS)
    ]
    if len(parts) == 1:
        return parts[0]
    integers, scales, zeros = (
        np.concatenate([getattr(part, name) for part in parts], axis=1) for name in ("integers", "scales", "zeros")
    )
    return BlockWeights(integers, scales, zeros, blocks.bits, blocks.block)
