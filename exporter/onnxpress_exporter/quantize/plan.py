"""How each site is quantized, and the numbers that follow from its statistics: balance, ranges, integer weights.

A treatment is a choice; a plan gives each site one. Numbers are computed here, from numpy arrays; the passes put them
into the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxpress_exporter.passes.integer_products import IntegerWeights
from onnxpress_exporter.passes.weight_only import BlockWeights
from onnxpress_exporter.precisions import PRECISIONS
from onnxpress_exporter.precisions.row import Blocks, Treatment
from onnxpress_exporter.quantize.calibration import Statistics
from onnxpress_exporter.quantize.rounding import (
    INT8,
    UINT4,
    UINT4_SYMMETRIC,
    UINT8,
    UINT8_SYMMETRIC,
    Levels,
    round_weights,
)
from onnxpress_exporter.quantize.sites import Site

Array = NDArray[np.float32]


#: site's value -> its treatment; a site without one stays in higher precision.
Plan = Mapping[str, Treatment]


def first_plans(precision: str, sites: Iterable[Site], will_do: Callable[[Site], bool]) -> list[dict[str, Treatment]]:
    """What is tried before any site is looked at alone: what is on trial, where it `will_do`; then without that."""
    *trials, last = PRECISIONS[precision].usual_treatments
    without: dict[str, Treatment] = {site.value: last for site in sites}
    if not trials:
        return [without]
    plan = without | {site.value: trials[0] for site in sites if will_do(site)}
    return [without] if plan == without else [plan, without]


def raised(plan: Plan, precision: str, sites: Iterable[Site]) -> dict[str, Treatment]:
    """The plan with these sites treated more exactly by one step."""
    changed = dict(plan)
    for site in sites:
        if site.value in changed:
            ladder = PRECISIONS[precision].ladder
            place = ladder.index(changed[site.value]) + 1
            if place < len(ladder):
                changed[site.value] = ladder[place]
            else:
                del changed[site.value]
    return changed


@dataclass(frozen=True, slots=True)
class Balanced:
    """A site whose channels are evened out: `factors` float32 (channels) that its value is divided by, None where it is
    not; `statistics` and `weights`, by product, of what results."""

    factors: Array | None
    statistics: Statistics
    weights: Mapping[str, Array]

    @property
    def together(self) -> Array:
        """float32 (channels, outputs): the weights of all products."""
        found: Array = np.concatenate(list(self.weights.values()), axis=1)
        return found

    @property
    def importance(self) -> Array:
        """float32 (channels): what an error in a channel counts."""
        found: Array = np.square(self.together).sum(axis=1)
        return found


def integer_weights(site: Balanced) -> dict[str, IntegerWeights]:
    """Integer weights by product."""
    rounded = round_weights(site.together, INT8, site.statistics.hessian)
    found, start = {}, 0
    for name, weights in site.weights.items():
        end = start + weights.shape[1]
        found[name] = IntegerWeights(rounded.integers[:, start:end].astype(np.int8), rounded.scales[0, start:end])
        start = end
    return found


#: (bits, symmetric) -> the integers.
_BLOCK_LEVELS: Mapping[tuple[int, bool], Levels] = {
    (8, False): UINT8,
    (8, True): UINT8_SYMMETRIC,
    (4, False): UINT4,
    (4, True): UINT4_SYMMETRIC,
}


def block_weights(weights: Array, hessian: Array | None, treatment: Blocks) -> BlockWeights:
    """float32 (channels, outputs) in blocks. `hessian`: as `round_weights` takes it."""
    levels = _BLOCK_LEVELS[treatment.bits, treatment.symmetric]
    rounded = round_weights(weights, levels, hessian, group=treatment.block)
    return BlockWeights(rounded.integers, rounded.scales, rounded.zeros, treatment.bits, treatment.block)
