"""Plans how each site is quantized, and computes the numbers of it: balance, ranges, integer weights.

A treatment is a choice; a plan gives each site one. Numbers are computed here, from numpy arrays; the passes put them
into the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir
from numpy.typing import NDArray

from onnxpress_exporter.passes.integer_products import IntegerWeights
from onnxpress_exporter.passes.weight_only import BlockWeights
from onnxpress_exporter.precisions.row import Blocks, IntegerConvolution, Integers, Precision, Treatment
from onnxpress_exporter.quantize.calibration import Statistics
from onnxpress_exporter.quantize.rounding import (
    INT8,
    UINT4,
    UINT4_SYMMETRIC,
    UINT8,
    UINT8_SYMMETRIC,
    Levels,
    Rounded,
    round_weights,
)
from onnxpress_exporter.quantize.sites import Site, score_products

Array = NDArray[np.float32]


#: A graph's name, and the name of a site's value in it.
Place = tuple[str, str]

#: A site without a treatment stays in higher precision.
Plan = Mapping[Place, Treatment]


@dataclass(frozen=True, slots=True)
class Attempt:
    """What is tried as a whole. `title`: for the report; `doing`: for a progress display, if there is more to say than
    what is done with each graph; `tables`: how large tables are stored, None: as they are."""

    title: str
    doing: str
    plan: Plan
    tables: Blocks | None = None


def first_attempts(row: Precision, sites: Mapping[Place, Site], will_do: Callable[[Place], bool]) -> list[Attempt]:
    """List the attempts for a model that reads: first treatments on trial, where they `will_do`, then the usual one.

    Convolutions are treated in one way, if the precision is one of integers.
    """
    cheapest = Attempt("all sites at their cheapest", "judging the first plan", {}, row.embeddings)
    if not row.ladder:
        return [replace(cheapest, doing="judging")]
    *trials, usual = row.usual_treatments
    products = [place for place, site in sites.items() if not site.convolution]
    without: dict[Place, Treatment] = dict.fromkeys(products, usual)
    if row.has_integers:
        without |= {place: IntegerConvolution() for place, site in sites.items() if site.convolution}
    if not trials:
        return [replace(cheapest, plan=without)]
    plan = without | {place: trials[0] for place in products if will_do(place)}
    if plan == without:
        return [replace(cheapest, plan=without)]
    everywhere = Attempt(
        "a range for each row everywhere", "judging without ranges for all rows", without, row.embeddings
    )
    return [replace(cheapest, plan=plan), everywhere]


def scheme_attempts(
    row: Precision, graphs: Mapping[str, onnx_ir.Model], roles: Mapping[str, str], sites: Mapping[Place, Site]
) -> list[Attempt]:
    """List the attempts for a model that writes: one for each scheme that applies to its graphs."""
    heads = {name: score_products(graph) for name, graph in graphs.items()}
    attempts = []
    for scheme in row.schemes:
        if any(special and not special & set(roles.values()) for special in (scheme.integers, scheme.exact)):
            continue
        plan: dict[Place, Treatment] = {}
        for (name, value), site in sites.items():
            exact = roles[name] in scheme.exact or heads[name] & set(site.products)
            stored = scheme.head if exact else scheme.body
            if roles[name] in scheme.integers:
                plan[name, value] = IntegerConvolution() if site.convolution else Integers()
            elif site.convolution:
                continue
            elif stored is not None:
                plan[name, value] = stored
        attempts.append(Attempt(str(scheme), "", plan, scheme.head))
    return attempts


def raised(plan: Plan, ladder: Sequence[Treatment], places: Iterable[Place]) -> dict[Place, Treatment]:
    """The plan with these sites treated more exactly by one step."""
    changed = dict(plan)
    for place in places:
        if place in changed:
            better = _more_exact(changed[place], ladder)
            if better is None:
                del changed[place]
            else:
                changed[place] = better
    return changed


def _more_exact(treatment: Treatment, ladder: Sequence[Treatment]) -> Treatment | None:
    """The next step of the ladder; None: higher precision. Other treatments go to the first step with as many bits."""
    if isinstance(treatment, IntegerConvolution):
        return None
    if treatment in ladder:
        rest = ladder[ladder.index(treatment) + 1 :]
    elif isinstance(treatment, Blocks):
        rest = [step for step in ladder if isinstance(step, Blocks) and step.bits >= treatment.bits]
    else:
        rest = list(ladder)
    return rest[0] if rest else None


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
        joined: Array = np.concatenate(list(self.weights.values()), axis=1)
        return joined

    @property
    def importance(self) -> Array:
        """float32 (channels): what an error in a channel counts."""
        squares: Array = np.sum([np.einsum("ij,ij->i", array, array) for array in self.weights.values()], axis=0)
        return squares


#: Outputs whose weights are rounded at once where no channel makes up for another's error.
_COLUMNS = 8192


def integer_weights(site: Balanced, *, unsigned: bool = False) -> dict[str, IntegerWeights]:
    """Integer weights by product."""
    levels = UINT8 if unsigned else INT8
    if site.statistics.hessian.ndim == 1:
        return {name: _each_for_itself(array, site.statistics.hessian, levels) for name, array in site.weights.items()}
    whole = _as_stored([round_weights(site.together, levels, site.statistics.hessian)], levels)
    by_product, start = {}, 0
    for name, weights in site.weights.items():
        end = start + weights.shape[1]
        by_product[name] = whole.columns(np.arange(start, end))
        start = end
    return by_product


def _each_for_itself(weights: Array, energy: Array, levels: Levels) -> IntegerWeights:
    """Round some outputs at a time: in between, weights are there four times over, in 32 bits."""
    return _as_stored(
        [
            round_weights(weights[:, start : start + _COLUMNS], levels, energy)
            for start in range(0, weights.shape[1], _COLUMNS)
        ],
        levels,
    )


def _as_stored(parts: Sequence[Rounded], levels: Levels) -> IntegerWeights:
    """What was rounded some outputs at a time, in 8 bits."""
    kind = np.int8 if levels.symmetric else np.uint8
    integers = np.concatenate([part.integers.astype(kind) for part in parts], axis=1)
    scales = np.concatenate([part.scales[0] for part in parts])
    zeros = None if levels.symmetric else np.concatenate([part.zeros[0] for part in parts]).astype(np.uint8)
    return IntegerWeights(integers, scales, zeros)


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
    return BlockWeights(
        rounded.integers.astype(np.uint8), rounded.scales, rounded.zeros, treatment.bits, treatment.block
    )
