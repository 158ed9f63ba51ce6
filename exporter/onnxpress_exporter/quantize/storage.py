"""A plan -> a graph: stores the products and tables of one fp32 graph as they are planned.

Rounding is what takes time. Of a graph that is watched as a whole, what was rounded is kept for the next plan: repair
tries many that differ in a few sites. Knows neither torch nor how good a variant is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np
import onnx_ir
from numpy.typing import NDArray

from onnxpress.engine.helpers import side_by_side
from onnxpress.engine.machine import usable_cores
from onnxpress_exporter.passes import apply_passes
from onnxpress_exporter.passes.balance import balance, balance_attention
from onnxpress_exporter.passes.centre import centre, normalization
from onnxpress_exporter.passes.fold_bias import fold_bias
from onnxpress_exporter.passes.gemm_as_matmul import gemm_as_matmul
from onnxpress_exporter.passes.graph import nodes, weights_of
from onnxpress_exporter.passes.half_precision import half_precision
from onnxpress_exporter.passes.integer_products import IntegerSite, IntegerWeights, integer_products
from onnxpress_exporter.passes.log_normalizer import log_normalizer, without_log_normalizer
from onnxpress_exporter.passes.long_attention import long_attention
from onnxpress_exporter.passes.share_constants import share_constants
from onnxpress_exporter.passes.small_embeddings import small_embeddings
from onnxpress_exporter.passes.split_channels import between, name_of_rest, rest_of, split_channels
from onnxpress_exporter.passes.tied_embeddings import has_rows, tied_embeddings, tied_tables
from onnxpress_exporter.passes.weight_only import BlockWeights, weight_only
from onnxpress_exporter.passes.whole_attention import whole_attention
from onnxpress_exporter.precisions.row import Blocks, IntegerConvolution, Integers, Treatment
from onnxpress_exporter.quantize.block_rounding import BlockRounding
from onnxpress_exporter.quantize.calibration import Statistics, calibrate, merged
from onnxpress_exporter.quantize.convolutions import Convolutions
from onnxpress_exporter.quantize.plan import Balanced, block_weights, integer_weights
from onnxpress_exporter.quantize.ranges import (
    WORTH_A_SHIFT,
    channels_apart,
    choose_balance,
    choose_range,
    error_of_both,
    one_range_will_do,
)
from onnxpress_exporter.quantize.rounding import INT8
from onnxpress_exporter.quantize.settings import Say
from onnxpress_exporter.quantize.sites import Site, find_sites, skipped_products

Array = NDArray[np.float32]
Arrays = Mapping[str, NDArray[Any]]
#: Places of channels.
Places = NDArray[np.int64]
T = TypeVar("T")
U = TypeVar("U")

#: Sites that are computed side by side at most: each needs some times its weights.
MOST_AT_ONCE = 4
#: Outputs of a large graph's products by which the balance of their channels is chosen.
SAMPLED_OUTPUTS = 512


class Storage:
    """Makes variants of one fp32 graph.

    Args:
        fp32: the verified graph; it is not changed.
        large: whether it may be so large that nothing is kept but what integer products need.
    """

    def __init__(self, fp32: onnx_ir.Model, *, large: bool = False) -> None:
        self._base = fp32.clone()
        self._large = large
        #: Whether long inputs have nodes of their own: variants get them when all else is done.
        self._reads_long = whole_attention(self._base) > 0
        gemm_as_matmul(self._base)
        self.sites: tuple[Site, ...] = find_sites(self._base)
        self.skipped: Mapping[str, str] = skipped_products(self._base, self.sites)
        products = [site for site in self.sites if not site.convolution]
        self._products = {site.value: site for site in products}
        self._convolutions = Convolutions(self._base, [site for site in self.sites if site.convolution])
        self._shared = _shared(products)
        self._weights = _weights(self._base, products)
        self._inputs = 0
        self._statistics: dict[str, Statistics] = {}
        self._ties = tied_tables(self._base)
        # A table that a product shares is read as it is: its channels cannot be balanced for the product.
        self._tied = {site.value for site in products if self._ties.keys() & set(site.products)}
        self._balanced = set(self._tied)
        self._balances: dict[str, Balanced] = {}
        self._integer_weights: dict[tuple[str, bool], dict[str, IntegerWeights]] = {}
        self._apart: dict[str, Places] = {}
        self._shifts: dict[str, Array] = {}
        self._blocks = BlockRounding(self._base, self._products, self._tied, large=large)

    @property
    def fp32(self) -> onnx_ir.Model:
        """The graph that variants are made from."""
        return self._base

    @property
    def weights(self) -> int:
        """How many numbers its products have."""
        return sum(array.size for array in self._weights.values())

    def watch(self, inputs: Sequence[Arrays], progress: Callable[[float], None] | None = None) -> None:
        """Calibrate on these inputs, one row each, and balance the results of attention, which costs nothing; once.

        Of a large graph each channel is watched for itself: correlations would be as large as its weights.
        """
        if self._statistics:
            return
        products = list(self._products.values())
        self._inputs = len(inputs)
        self._statistics = calibrate(self._base, products, inputs, progress, correlated=not self._large)
        self._convolutions.watch(inputs, progress)
        for shared in self._shared:
            together = merged([self._statistics[value] for value in shared])
            self._statistics |= dict.fromkeys(shared, together)
        for value in self._tied:
            self._statistics[value] = self._statistics[value].apart()
        for site in products:
            if site.attention and site.value not in self._tied:
                self._balance_attention(site)
        self._weights = _weights(self._base, products)
        if not self._large:
            self._each(self._look_at, products)

    @property
    def multiplications(self) -> float:
        """About how many a run takes on one of the inputs that were watched."""
        products = (
            self._weights[name].size * self._statistics[value].count
            for value, site in self._products.items()
            if value in self._statistics
            for name in site.products
        )
        return (sum(products) + self._convolutions.multiplications) / max(1, self._inputs)

    @property
    def apart(self) -> Mapping[str, int]:
        """Of products of integers, how many of the channels that they read stand beside them in fp32."""
        return {name: len(places) for value, places in self._apart.items() for name in self._products[value].products}

    def _look_at(self, site: Site) -> None:
        self._look_for_channels_apart(site)
        self._look_for_a_shift(site)

    def _look_for_channels_apart(self, site: Site) -> None:
        """A few channels that are far larger than the rest stand apart where a site becomes integers."""
        shared = {value for values in self._shared for value in values}
        if site.value in shared | self._tied or (known := between(self._base, site.value)) is None:
            return
        if known.first.outputs[0].name not in self._weights:
            return
        importance = np.square(self._together(site)).sum(axis=1)
        places = channels_apart(self._statistics[site.value].rows, importance)
        if places is not None:
            self._apart[site.value] = places

    def _look_for_a_shift(self, site: Site) -> None:
        """What a normalization returns has its channels around 0 where a site becomes integers, if that helps."""
        shared = {value for values in self._shared for value in values}
        if site.value in shared | self._tied or normalization(self._base, site.value) is None:
            return
        statistics = self._statistics[site.value]
        shift = ((statistics.low + statistics.high) / 2).astype(np.float32)
        known, moved = (self._balanced_site(site, candidate) for candidate in (None, shift))
        errors = [error_of_both(balanced.statistics.rows, balanced.together) for balanced in (known, moved)]
        chosen = known
        if errors[1] < WORTH_A_SHIFT * errors[0]:
            self._shifts[site.value], chosen = shift, moved
        self._balances[site.value] = chosen

    def _balance_attention(self, site: Site) -> None:
        statistics = self._statistics[site.value]
        factors = choose_balance(statistics, self._together(site), INT8, worth=1.0)
        if factors is not None and balance_attention(self._base, site.value, site.products, factors):
            self._statistics[site.value] = statistics.divided(factors)
            self._balanced.add(site.value)

    def _together(self, site: Site) -> Array:
        """float32 (channels, outputs): the weights that read a value; of a large graph a sample of their outputs."""
        weights = [self._weights[name] for name in site.products]
        outputs = sum(array.shape[1] for array in weights)
        every = max(1, outputs // SAMPLED_OUTPUTS) if self._large else 1
        joined: Array = np.concatenate([array[:, ::every] for array in weights], axis=1)
        return joined

    def build(
        self,
        plan: Mapping[str, Treatment],
        tables: Blocks | None,
        *,
        passes: Sequence[str] = (),
        half: bool = False,
        inputs: Sequence[Arrays] = (),
        say: Say = lambda what: None,
    ) -> onnx_ir.Model:
        """The graph in which every site is treated as the plan says, with its tables in blocks.

        Args:
            tables: how large tables are stored; None: as they are.
            passes: further rewrites, by name.
            half: whether everything else has 16 bits.
            inputs, say: as `with_plan` takes them.
        """
        model = self.with_plan(plan, inputs, say)
        if tables is not None:
            store_tables(model, tables)
        apply_passes(model, passes)
        if self._reads_long and not half:
            long_attention(model)
        if half:
            halve(model)
        elif self._large:
            fold_bias(model)
        return model

    def with_plan(
        self, plan: Mapping[str, Treatment], inputs: Sequence[Arrays] = (), say: Say = lambda what: None
    ) -> onnx_ir.Model:
        """The graph in which every site is treated as the plan says, and nothing else is changed.

        Args:
            inputs: of a graph that is not watched, what it takes of real texts, one row each: weights of 4 bits are
                rounded so that channels make up for the errors that these would see, where there is time.
        """
        model = self._base.clone()
        integers = {value: treatment for value, treatment in plan.items() if isinstance(treatment, Integers)}
        sites_of_integers = self._each(lambda name: self._integers(self._products[name], integers[name]), [*integers])
        prepared = dict(zip(integers, sites_of_integers, strict=True))
        for value in prepared:
            if value in self._shifts:
                centre(model, value, self._shifts[value])
        split = {value: places for value, places in self._apart.items() if value in prepared}
        rest = self._columns_of_rest(split)
        for value, places in split.items():
            split_channels(model, value, places)
        sites = {
            name_of_rest(value) if value in split else value: (factors, _of_rest(site, rest, whole=value in split))
            for value, (factors, site) in prepared.items()
        }
        balance(
            model,
            {value: (list(site.weights), factors) for value, (factors, site) in sites.items() if factors is not None},
        )
        integer_products(model, [site for _, site in sites.values()])
        self._tie(model, {name: how for _, site in prepared.values() for name, how in site.weights.items()})
        self._convolutions.rewrite(
            model, [value for value, treatment in plan.items() if isinstance(treatment, IntegerConvolution)]
        )
        blocks = {value: treatment for value, treatment in plan.items() if isinstance(treatment, Blocks)}
        for rounded in self._blocks.rounded(blocks, self._weights, self._statistics, inputs, say):
            weight_only(
                model,
                {
                    name_of_rest(name) if name in rest else name: how.columns(rest[name]) if name in rest else how
                    for name, how in rounded.items()
                },
            )
            self._tie(model, rounded)
        if self._shared:
            share_constants(model)
        return model

    def _each(self, work: Callable[[T], U], items: Sequence[T]) -> list[U]:
        """What work returns of each item, side by side: numpy lets other threads run, and uses one for most of this."""
        calls = [partial(work, item) for item in items]
        return side_by_side(calls, 1 if self._large else min(MOST_AT_ONCE, usable_cores()))

    def _columns_of_rest(self, split: Mapping[str, Places]) -> dict[str, Places]:
        """Of the products that make values whose channels are split, by name, the columns that are left."""
        columns = {}
        for value, places in split.items():
            known = between(self._base, value)
            assert known is not None
            columns[str(known.first.outputs[0].name)] = rest_of(self._products[value].width, places)
        return columns

    def _tie(self, model: onnx_ir.Model, weights: Mapping[str, IntegerWeights | BlockWeights]) -> None:
        """Let the words' tables that these products share be read from their integers."""
        ties = {
            name: (self._ties[name], rounded)
            for name, rounded in weights.items()
            if name in self._ties and has_rows(rounded)
        }
        tied_embeddings(model, ties)

    def balance(self) -> None:
        """Even out the channels of every product's value, side by side, where a plan is to be of integers."""
        if not self._large:
            self._each(self._balance, list(self._products.values()))

    def one_range_will_do(self, value: str) -> bool:
        """Whether one range for all rows may be tried: it is about as exact as one for each."""
        balanced = self._balance(self._products[value])
        return one_range_will_do(balanced.statistics.rows, balanced.importance)

    def _integers(self, site: Site, treatment: Integers) -> tuple[Array | None, IntegerSite]:
        balanced = self._balance(site)
        key = (site.value, treatment.unsigned)
        if key not in self._integer_weights:
            self._integer_weights[key] = integer_weights(balanced, unsigned=treatment.unsigned)
            if self._large:  # what was multiplied is as large as the weights
                del self._balances[site.value]
        chosen = choose_range(balanced.statistics.rows, balanced.importance, each_row=treatment.each_row)
        return balanced.factors, IntegerSite(self._integer_weights[key], chosen)

    def _balance(self, site: Site) -> Balanced:
        if site.value not in self._balances:
            self._balances[site.value] = self._balanced_site(site, self._shifts.get(site.value))
        return self._balances[site.value]

    def _balanced_site(self, site: Site, shift: Array | None) -> Balanced:
        """A site without its channels apart, moved by a shift, with its channels evened out."""
        statistics, weights = self._statistics[site.value], {name: self._weights[name] for name in site.products}
        together = None
        if shift is not None:
            statistics = statistics.less(shift)
        if (apart := self._apart.get(site.value)) is not None:
            rest = rest_of(site.width, apart)
            statistics = statistics.of(rest)
            weights = {name: np.ascontiguousarray(array[rest]) for name, array in weights.items()}
            together = np.concatenate(list(weights.values()), axis=1)
        factors = None
        if site.value not in self._balanced:
            factors = choose_balance(statistics, self._together(site) if together is None else together, INT8)
        if factors is not None:
            statistics = statistics.divided(factors)
            weights = {name: array * factors[:, None] for name, array in weights.items()}
        return Balanced(factors, statistics, weights)


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


def _of_rest(site: IntegerSite, columns: Mapping[str, Places], *, whole: bool) -> IntegerSite:
    """The site under the names, and with the columns, that its products have where channels are split.

    Args:
        columns: those that are left of products, by name.
        whole: whether the site's own value is what is left of one.
    """
    weights = {}
    for name, how in site.weights.items():
        if name in columns:
            how, name = how.columns(columns[name]), name_of_rest(name)
        weights[name_of_rest(name) if whole else name] = how
    return IntegerSite(weights, site.range)


def _shared(sites: Sequence[Site]) -> list[list[str]]:
    """Values of sites that share all their weights. They get the same integers from the rows of all of them together,
    so that the weights are still stored once."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for site in sites:
        groups.setdefault(site.weights, []).append(site.value)
    return [group for group in groups.values() if len(group) > 1]


def _weights(model: onnx_ir.Model, sites: Sequence[Site]) -> dict[str, Array]:
    """The weights of the sites' products; of files they are mapped, not read."""
    wanted = {name for site in sites for name in site.products}
    weights = {str(node.outputs[0].name): weights_of(node.inputs[1]) for node in nodes(model, "MatMul")}
    return {name: array for name, array in weights.items() if name in wanted and array is not None}
