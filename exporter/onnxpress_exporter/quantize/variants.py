"""A plan -> a graph: the fp32 graph, its statistics, and what was already rounded, kept for the next plan.

Repair tries many plans that differ in a few sites; rounding weights is what takes time, and is done once per site and
treatment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir
from numpy.typing import NDArray

from onnxpress_exporter.passes.balance import balance, balance_attention
from onnxpress_exporter.passes.gemm_as_matmul import gemm_as_matmul
from onnxpress_exporter.passes.graph import nodes, weights_of
from onnxpress_exporter.passes.integer_products import IntegerSite, IntegerWeights, integer_products
from onnxpress_exporter.passes.share_constants import share_constants
from onnxpress_exporter.passes.tied_embeddings import has_rows, tied_embeddings, tied_tables
from onnxpress_exporter.passes.weight_only import BlockWeights, weight_only
from onnxpress_exporter.precisions import PRECISIONS
from onnxpress_exporter.precisions.row import Blocks, Integers, Treatment
from onnxpress_exporter.quantize.blocks import halve, store_tables
from onnxpress_exporter.quantize.calibration import Statistics, calibrate, merged
from onnxpress_exporter.quantize.plan import (
    Balanced,
    block_weights,
    integer_weights,
)
from onnxpress_exporter.quantize.ranges import choose_balance, choose_range, one_range_will_do
from onnxpress_exporter.quantize.rounding import INT8
from onnxpress_exporter.quantize.sites import Site, find_sites, skipped_products

Array = NDArray[np.float32]


class Variants:
    """Makes variants of one fp32 graph.

    Args:
        fp32: the verified graph; it is not changed.
    """

    def __init__(self, fp32: onnx_ir.Model) -> None:
        self._base = fp32.clone()
        gemm_as_matmul(self._base)
        self.sites: tuple[Site, ...] = find_sites(self._base)
        self.skipped: Mapping[str, str] = skipped_products(self._base, self.sites)
        self._by_value = {site.value: site for site in self.sites}
        self._shared = _shared(self.sites)
        self._weights = _weights(self._base, self.sites)
        self._statistics: dict[str, Statistics] = {}
        self._ties = tied_tables(self._base)
        # A table that a product shares is read as it is: its channels cannot be balanced for the product.
        self._tied = {site.value for site in self.sites if self._ties.keys() & set(site.products)}
        self._balanced = set(self._tied)
        # What was computed for a site stays, for the next plan.
        self._balances: dict[str, Balanced] = {}
        self._integer_weights: dict[str, dict[str, IntegerWeights]] = {}
        self._block_weights: dict[tuple[str, Blocks], dict[str, BlockWeights]] = {}

    @property
    def fp32(self) -> onnx_ir.Model:
        """The graph that variants are made from."""
        return self._base

    def watch(self, inputs: Sequence[Mapping[str, NDArray[Any]]], progress: Callable[[float], None] | None) -> None:
        """Calibrate on these inputs, one row each, and balance the results of attention, which costs nothing."""
        self._statistics = calibrate(self._base, self.sites, inputs, progress)
        for shared in self._shared:
            together = merged([self._statistics[value] for value in shared])
            self._statistics |= dict.fromkeys(shared, together)
        for value in self._tied:
            self._statistics[value] = self._statistics[value].apart()
        for site in self.sites:
            if site.attention and site.value not in self._tied:
                self._balance_attention(site)
        self._weights = _weights(self._base, self.sites)

    def _balance_attention(self, site: Site) -> None:
        statistics = self._statistics[site.value]
        factors = choose_balance(statistics, self._together(site), INT8, worth=1.0)
        if factors is not None and balance_attention(self._base, site.value, site.products, factors):
            self._statistics[site.value] = statistics.divided(factors)
            self._balanced.add(site.value)

    def _together(self, site: Site) -> Array:
        joined: Array = np.concatenate([self._weights[name] for name in site.products], axis=1)
        return joined

    def build(self, precision: str, plan: Mapping[str, Treatment]) -> onnx_ir.Model:
        """The graph in which every site is treated as the plan says, with the precision's embeddings."""
        model = self.with_plan(plan)
        row = PRECISIONS[precision]
        if row.embeddings is not None:
            store_tables(model, row.embeddings)
        if row.half:
            halve(model)
        return model

    def with_plan(self, plan: Mapping[str, Treatment]) -> onnx_ir.Model:
        """The graph in which every site is treated as the plan says, and nothing else is changed."""
        model = self._base.clone()
        integers = {value: treatment for value, treatment in plan.items() if isinstance(treatment, Integers)}
        prepared = {value: self._integers(self._by_value[value], treatment) for value, treatment in integers.items()}
        balance(
            model,
            {
                value: (self._by_value[value].products, factors)
                for value, (factors, _) in prepared.items()
                if factors is not None
            },
        )
        integer_products(model, [site for _, site in prepared.values()])
        blocks: dict[str, BlockWeights] = {}
        for value, treatment in plan.items():
            if isinstance(treatment, Blocks):
                blocks |= self._blocks(self._by_value[value], treatment)
        weight_only(model, blocks)
        integers_of: dict[str, IntegerWeights | BlockWeights] = dict(blocks)
        for _, integer_site in prepared.values():
            integers_of |= integer_site.weights
        ties = {
            name: (table, integers_of[name])
            for name, table in self._ties.items()
            if name in integers_of and has_rows(integers_of[name])
        }
        tied_embeddings(model, ties)
        if self._shared:
            share_constants(model)
        return model

    def one_range_will_do(self, value: str) -> bool:
        """Whether one range for all rows may be tried: it is about as exact as one for each."""
        balanced = self._balance(self._by_value[value])
        return one_range_will_do(balanced.statistics.rows, balanced.importance)

    def _integers(self, site: Site, treatment: Integers) -> tuple[Array | None, IntegerSite]:
        balanced = self._balance(site)
        if site.value not in self._integer_weights:
            self._integer_weights[site.value] = integer_weights(balanced)
        chosen = choose_range(balanced.statistics.rows, balanced.importance, each_row=treatment.each_row)
        return balanced.factors, IntegerSite(self._integer_weights[site.value], chosen)

    def _balance(self, site: Site) -> Balanced:
        if site.value not in self._balances:
            statistics = self._statistics[site.value]
            weights = {name: self._weights[name] for name in site.products}
            factors = None
            if site.value not in self._balanced:
                factors = choose_balance(statistics, self._together(site), INT8)
            if factors is not None:
                statistics = statistics.divided(factors)
                weights = {name: array * factors[:, None] for name, array in weights.items()}
            self._balances[site.value] = Balanced(factors, statistics, weights)
        return self._balances[site.value]

    def _blocks(self, site: Site, treatment: Blocks) -> dict[str, BlockWeights]:
        key = (site.value, treatment)
        if key not in self._block_weights:
            statistics = self._statistics.get(site.value)
            hessian = None if statistics is None else statistics.hessian
            self._block_weights[key] = {
                name: block_weights(self._weights[name], hessian, treatment) for name in site.products
            }
        return self._block_weights[key]


def _shared(sites: Sequence[Site]) -> list[list[str]]:
    """Values of sites that share all their weights. They get the same integers from the rows of all of them together,
    so that the weights are still stored once."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for site in sites:
        groups.setdefault(site.weights, []).append(site.value)
    return [group for group in groups.values() if len(group) > 1]


def _weights(model: onnx_ir.Model, sites: Sequence[Site]) -> dict[str, Array]:
    wanted = {name for site in sites for name in site.products}
    weights = {}
    for node in nodes(model, "MatMul"):
        name = str(node.outputs[0].name)
        array = weights_of(node.inputs[1])
        if name in wanted and array is not None:
            weights[name] = array
    return weights
