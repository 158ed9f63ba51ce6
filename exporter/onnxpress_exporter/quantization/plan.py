"""How each site is quantized, and the numbers that follow from its statistics: balance, ranges, integer weights.

A treatment is a choice; a plan gives each site one. Numbers are computed here, from numpy arrays; the passes put them
into the graph.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxpress_exporter.passes.integer_products import IntegerSite, IntegerWeights
from onnxpress_exporter.passes.weight_only import BlockWeights
from onnxpress_exporter.quantization.calibration import Statistics
from onnxpress_exporter.quantization.ranges import choose_range
from onnxpress_exporter.quantization.rounding import (
    INT7,
    INT8,
    UINT4,
    UINT4_SYMMETRIC,
    UINT8,
    UINT8_SYMMETRIC,
    Levels,
    Rounded,
    round_weights,
)
from onnxpress_exporter.quantization.sites import Site

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Integers:
    """A site as integer products: activations of 8 bits, a range for each row.

    `weights`: "int7" (exact on every processor), "uint8" (exact too, finer, slower), "int8" (only where the processor
    has VNNI or its like). `balance`: whether channels are evened out against the weights.
    """

    weights: str = "int7"
    balance: bool = True

    def __str__(self) -> str:
        return f"{self.weights} weights"


@dataclass(frozen=True, slots=True)
class Blocks:
    """A site with weights of `bits` bits, each `block` input channels with a scale of their own."""

    bits: int
    block: int = 32
    symmetric: bool = False

    def __str__(self) -> str:
        return f"{self.bits}-bit weights in blocks of {self.block}"


Treatment = Integers | Blocks

#: site's value -> its treatment; a site without one stays in higher precision.
Plan = Mapping[str, Treatment]

_FOUR: tuple[Treatment, ...] = (Blocks(4), Blocks(4, 16), Blocks(8))

#: precision -> treatments, each more exact than the one before. After the last comes higher precision.
LADDERS: Mapping[str, tuple[Treatment, ...]] = {
    "int8": (Integers(), Integers("uint8"), Blocks(8)),
    "q8": (Blocks(8),),
    "q4": _FOUR,
    "q4f16": _FOUR,
}


def first_plan(precision: str, sites: tuple[Site, ...]) -> dict[str, Treatment]:
    """Every site by the cheapest treatment."""
    return {site.value: LADDERS[precision][0] for site in sites}


def raised(plan: Plan, precision: str, sites: Iterable[Site]) -> dict[str, Treatment]:
    """The plan with these sites treated more exactly by one step."""
    changed = dict(plan)
    for site in sites:
        if site.value in changed:
            ladder = LADDERS[precision]
            place = ladder.index(changed[site.value]) + 1
            if place < len(ladder):
                changed[site.value] = ladder[place]
            else:
                del changed[site.value]
    return changed


#: What integer weights are rounded to.
STORED: Mapping[str, Levels] = {"int7": INT7, "int8": INT8, "uint8": INT8}


def integer_site(site: Site, statistics: Statistics, weights: Mapping[str, Array], treatment: Integers) -> IntegerSite:
    """Ranges and integer weights of a balanced site.

    Args:
        statistics, weights: of the balanced values, the weights by product.
    """
    together = np.concatenate([weights[name] for name in site.products], axis=1)
    importance = np.square(together).sum(axis=1)
    found = choose_range(statistics.rows, importance)
    rounded = round_weights(together, STORED[treatment.weights], statistics.hessian)
    return IntegerSite(
        weights=_by_product(site, weights, rounded, treatment.weights),
        zero=found.zero,
        floor=found.floor,
        clip=found.clip,
        one_sided=found.one_sided,
    )


def _by_product(site: Site, weights: Mapping[str, Array], rounded: Rounded, kind: str) -> dict[str, IntegerWeights]:
    found, start = {}, 0
    for name in site.products:
        end = start + weights[name].shape[1]
        integers, scales = rounded.integers[:, start:end], rounded.scales[0, start:end]
        if kind == "uint8":
            found[name] = IntegerWeights((integers + 128).astype(np.uint8), scales, 128)
        else:
            found[name] = IntegerWeights(integers.astype(np.int8), scales, 0)
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
