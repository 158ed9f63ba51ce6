"""Convolutions of one graph in 8 bits: where they are, the ranges of their values, their integer weights.

A convolution is treated with the value that it reads, as a product is; but its range must be a constant, for a row of a
product is many pictures' patches here. What a convolution returns gets a range too, after Relu where that is all that
reads it: an engine multiplies integers only where it returns them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir
from numpy.typing import NDArray

from onnxpress_exporter.passes.graph import constant, consumers, nodes
from onnxpress_exporter.passes.integer_convolutions import IntegerFilters, integer_convolutions
from onnxpress_exporter.passes.integer_products import Range
from onnxpress_exporter.quantize.calibration import Statistics, calibrate
from onnxpress_exporter.quantize.ranges import choose_range
from onnxpress_exporter.quantize.rounding import INT8, round_weights
from onnxpress_exporter.quantize.sites import Site

Array = NDArray[np.float32]
Arrays = Mapping[str, NDArray[Any]]

#: Values that are watched at once: they are as large as pictures.
_AT_ONCE = 16
#: What a bias may be at most in steps of its own: beyond it int32 ends.
_LARGEST_BIAS = 2.0**30
#: Activations that engines compute by the range of the integers alone.
_CUTS = ("Relu", "Clip")


class Convolutions:
    """Makes convolutions of integers of one graph's.

    Args:
        model: the fp32 graph, which is not changed.
        sites: its values that convolutions read, and the convolutions.
    """

    def __init__(self, model: onnx_ir.Model, sites: Sequence[Site]) -> None:
        self._model = model
        self._sites = {site.value: site for site in sites}
        self._nodes = {str(node.outputs[0].name): node for node in nodes(model, "Conv")}
        self._results = {name: _result(self._nodes[name]) for site in sites for name in site.products}
        pools = {
            str(node.outputs[0].name): str(node.inputs[0].name) for node in nodes(model, "MaxPool") if node.inputs[0]
        }
        #: What is the largest of some values is one of them: with one range for both, integers go through.
        self._sources = {value: pools[value] for value in self._sites if pools.get(value) in self._results.values()}
        self._statistics: dict[str, Statistics] = {}
        self._ranges: dict[str, Range] = {}
        self._filters: dict[str, IntegerFilters] = {}

    def watch(self, inputs: Sequence[Arrays], progress: Callable[[float], None] | None = None) -> None:
        """See the values on these inputs, one row each; once."""
        if self._statistics or not self._sites:
            return
        widths = {result: len(_weights(self._nodes[name])) for name, result in self._results.items()}
        widths |= {value: site.width for value, site in self._sites.items()}
        values = [Site(name, False, width, (), convolution=True) for name, width in widths.items()]
        for start in range(0, len(values), _AT_ONCE):
            group = values[start : start + _AT_ONCE]
            self._statistics |= calibrate(self._model, group, inputs, correlated=False)
            if progress is not None:
                progress((start + len(group)) / len(values))

    @property
    def multiplications(self) -> int:
        """On all inputs that were watched."""
        return sum(
            _weights(self._nodes[name]).size * self._statistics[result].count
            for name, result in self._results.items()
            if result in self._statistics
        )

    def rewrite(self, model: onnx_ir.Model, values: Iterable[str]) -> None:
        """Make the convolutions that read these values convolutions of integers, in a clone of the graph."""
        values = list(values)
        names = [name for value in values for name in self._sites[value].products]
        ranges = {value: self._range(value) for value in (*values, *(self._results[name] for name in names))}
        integer_convolutions(model, {name: self._filters_of(name) for name in names}, ranges)

    def _range(self, value: str) -> Range:
        value = self._sources.get(value, value)
        if value not in self._ranges:
            statistics = self._statistics[value]
            ends = float(statistics.low.min()), float(statistics.high.max())
            self._ranges[value] = choose_range(statistics.rows, self._importance(value), each_row=False, ends=ends)
        return self._ranges[value]

    def _importance(self, value: str) -> Array:
        """float32 (channels): the squared length of each channel's weights, of all that read it together."""
        site = self._sites.get(value)
        if site is None:
            return np.ones(len(self._statistics[value].low), np.float32)
        total = np.zeros(site.width, np.float32)
        for name in site.products:
            weights = _weights(self._nodes[name])
            groups = site.width // weights.shape[1]
            squares = np.square(weights).reshape(groups, len(weights) // groups, weights.shape[1], -1)
            total += squares.sum(axis=(1, 3)).reshape(-1)
        return total

    def _filters_of(self, name: str) -> IntegerFilters:
        if name not in self._filters:
            node = self._nodes[name]
            value = str(node.inputs[0].name)  # type: ignore[union-attr]
            bias = None if len(node.inputs) < 3 else constant(node.inputs[2])
            self._filters[name] = integer_filters(
                _weights(node), bias, self._range(value).unit, self._statistics[value].energy
            )
        return self._filters[name]


def integer_filters(weights: Array, bias: Array | None, unit: float, energy: Array) -> IntegerFilters:
    """Round a convolution's weights, with a scale for each output.

    Args:
        weights: float32 (outputs, channels of a group, *kernel). bias: float32 (outputs).
        unit: what one step of the integers that it reads stands for.
        energy: float32 (channels): the mean square of each channel of its value.
    """
    outputs, channels, *kernel = weights.shape
    places = int(np.prod(kernel))
    # In the order in which they are multiplied, channels innermost: two neighbours are added up in 16 bits.
    matrix = np.ascontiguousarray(np.moveaxis(weights.reshape(outputs, channels, places), 1, 2).reshape(outputs, -1).T)
    known = np.tile(energy, places) if channels == len(energy) else None
    rounded = round_weights(matrix, INT8, known)
    integers, scales = rounded.integers, rounded.scales[0]
    if bias is not None:
        least = (np.abs(bias) / (_LARGEST_BIAS * unit)).astype(np.float32)
        small = scales < least
        integers[:, small] = np.rint(matrix[:, small] / least[small]).astype(np.int32)
        scales = np.maximum(scales, least)
    filters = np.moveaxis(integers.T.reshape(outputs, places, channels), 2, 1).reshape(weights.shape)
    whole = None if bias is None else np.rint(bias / (np.float64(unit) * scales)).astype(np.int32)
    return IntegerFilters(filters.astype(np.int8), scales, whole)


def _weights(node: onnx_ir.Node) -> Array:
    array = constant(node.inputs[1])
    assert array is not None
    return array


def _result(node: onnx_ir.Node) -> str:
    """The value that is to be integers: what a convolution returns, or Relu of that, if nothing else reads it."""
    value = node.outputs[0]
    readers = consumers(value)
    if len(readers) == 1 and readers[0].op_type in _CUTS and not value.is_graph_output():
        value = readers[0].outputs[0]
    return str(value.name)
