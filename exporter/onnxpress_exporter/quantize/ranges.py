"""Chooses the range of a site's 8 bits and the balance of its channels, from a sample of its rows. Pure numpy.

Both are chosen by the error that reaches the product: an error in a channel counts as much as that channel's weights.
Taking errors of channels as independent, it is the sum over channels of (squared error x squared length of the
channel's weights), which needs no product to be computed. A few tokens have values many times those of others; a
residual connection and a normalization follow, so that their errors count by their own size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress_exporter.passes.integer_products import Range
from onnxpress_exporter.quantize.calibration import Statistics
from onnxpress_exporter.quantize.rounding import Levels, round_weights

Array = NDArray[np.float32]

#: Shares of the largest value that are tried as the end of one range for all, where all that was seen is known. Of rows
#: of channels nothing should be cut: a row's largest value is what the row is about, and the few largest rows are what
#: other rows attend to.
_CLIPS = (1.0, 0.85, 0.7, 0.6, 0.5, 0.4)
#: Integers of 0 that are tried where little lies below it.
_ZEROS_ONE_SIDED = (16, 30, 48)
_ZERO = 128

#: One range for all rows is tried where its error is at most so many times that of a range for each row: it needs no
#: look at the row and no product with its step. Whether the answers bear it, the gate says.
NEAR_ERROR = 2.0

#: Numbers of channels that are tried apart, in fp32; the share of all that they may be; and what must be left of the
#: error of integers with a range for each row.
_APART = (16, 32, 64)
_MOST_APART = 1 / 16
WORTH_APART = 0.6

#: What moving channels must leave of the errors of both ranges, multiplied.
WORTH_A_SHIFT = 0.8

#: Rows that balances are tried on, and about how many weights are rounded for it: of more, every so many outputs'.
_ROWS, _WEIGHTS = 256, 500_000
#: Exponents of |x|^a / |W|^(1 - a) that are tried; |x| is a channel's largest, a high percentile, or its usual size.
#: (SmoothQuant, Xiao et al., ICML 2023, has the first of these, and one exponent for the whole model.)
_EXPONENTS = (0.5, 0.65)
#: A balance that costs a product for each element must leave less than this share of the error.
WORTH_ITS_TIME = 0.8
#: What `gptq` leaves of the error of weights that are rounded plainly: measured at a half to a tenth.
_LEFT_BY_ROUNDING = 0.25


def restored(rows: Array, how: Range) -> Array:
    """Quantize rows and restore them: float32 (rows, channels)."""
    step: Any = np.float32(how.unit)
    if how.each_row:
        largest = (rows if how.one_sided else np.abs(rows)).max(axis=1, keepdims=True)
        step = np.maximum(largest, np.float32(how.floor)) * step
    integers = np.clip(np.rint(rows / step) + how.zero, 0, 255)
    numbers: Array = ((integers - how.zero) * step).astype(np.float32)
    return numbers


def choose_range(
    rows: Array, importance: Array, *, each_row: bool = True, ends: tuple[float, float] | None = None
) -> Range:
    """The range with the least error.

    Args:
        rows: float32 (sample, channels). importance: (channels), the squared length of each channel's weights.
        each_row: a range for each row, or one for all.
        ends: the least and the largest value, where more than these rows was seen.
    """
    return min(_ranges(rows, each_row=each_row, ends=ends), key=lambda candidate: _error(rows, candidate, importance))


def one_range_will_do(rows: Array, importance: Array) -> bool:
    """Whether one range for all rows has an error near that of a range for each. Arguments as in `choose_range`."""
    each, all_rows = (choose_range(rows, importance, each_row=each_row) for each_row in (True, False))
    return _error(rows, all_rows, importance) <= NEAR_ERROR * _error(rows, each, importance)


def error_of_both(rows: Array, weights: Array) -> float:
    """Squared error of the product of rows and float32 (channels, outputs) weights by a range for each row, times that
    by one for all: large rows count by their size, unlike where a range is chosen."""
    importance = np.square(weights).sum(axis=1)
    chosen = [choose_range(rows, importance, each_row=each_row) for each_row in (True, False)]
    return math.prod(float(np.square(rows - restored(rows, how)).mean(axis=0) @ importance) for how in chosen)


def channels_apart(rows: Array, importance: Array) -> NDArray[np.int64] | None:
    """int64 (channels), in order: the fewest of those with the largest values without which a range for each row is
    clearly more exact; None: no few channels stand out. Arguments as in `choose_range`."""
    limit = WORTH_APART * _error(rows, choose_range(rows, importance), importance)
    largest = np.argsort(-np.abs(rows).max(axis=0), kind="stable")
    for count in (count for count in _APART if count <= _MOST_APART * len(importance)):
        left = np.sort(largest[count:])
        rest, weight = np.ascontiguousarray(rows[:, left]), importance[left]
        if _error(rest, choose_range(rest, weight), weight, energies=np.square(rows) @ importance) <= limit:
            return np.sort(largest[:count]).astype(np.int64)
    return None


def choose_balance(
    statistics: Statistics,
    weights: Array,
    levels: Levels,
    worth: float = WORTH_ITS_TIME,
) -> Array | None:
    """float32 (channels), geometric mean 1: what to divide activations and multiply weights by; None: leave it.

    Args:
        weights: float32 (channels, outputs), of all products together.
        levels: what the weights are rounded to.
        worth: the error must become less than this share of what it is without.
    """
    rows = statistics.rows[:: max(1, len(statistics.rows) // _ROWS)]
    energy = statistics.energy
    every = max(1, weights.size // _WEIGHTS)
    sample = np.ascontiguousarray(weights[:, ::every])
    squares = np.square(weights).sum(axis=1)
    best: Array | None = None
    least = np.inf
    for factors in (None, *_balances(statistics, weights)):
        divisor = np.ones(len(weights), np.float32) if factors is None else factors
        scaled = sample * divisor[:, None]
        balanced = rows / divisor
        importance = squares * np.square(divisor)
        chosen = choose_range(balanced, importance)
        error = _error(balanced, chosen, importance)
        missed = round_weights(scaled, levels, compensate=False, clips=(1.0,)).weights() - scaled
        energies = energy / np.square(divisor)
        error += every * _LEFT_BY_ROUNDING * float(energies @ np.square(missed).sum(axis=1))
        if factors is None:
            least = worth * error
        elif error < least:
            best, least = factors, error
    return best


def _balances(statistics: Statistics, weights: Array) -> Iterator[Array]:
    sizes = (
        statistics.largest,
        np.percentile(np.abs(statistics.rows), 99, axis=0),
        np.sqrt(np.maximum(statistics.energy, 0)),
    )
    heaviest = np.abs(weights).max(axis=1).astype(np.float64)
    for size in sizes:
        alive = (size > 0) & (heaviest > 0)
        if not alive.any():
            continue
        for exponent in _EXPONENTS:
            factors = np.ones(len(weights))
            factors[alive] = size[alive].astype(np.float64) ** exponent / heaviest[alive] ** (1 - exponent)
            factors[alive] /= np.exp(np.log(factors[alive]).mean())
            yield np.clip(factors, 1e-3, 1e3).astype(np.float32)


def _error(rows: Array, chosen: Range, importance: Array, energies: Array | None = None) -> float:
    """Mean squared error of the product, less for rows that are larger than most: what follows evens rows out.

    Args:
        energies: float32 (sample), how large the rows are; None: as large as these channels make them.
    """
    errors = np.square(rows - restored(rows, chosen)) @ importance
    energies = np.square(rows) @ importance if energies is None else energies
    usual = float(energies.mean()) or 1.0
    return float((2 * errors / (1 + energies / usual)).mean())


def _ranges(rows: Array, *, each_row: bool, ends: tuple[float, float] | None = None) -> Sequence[Range]:
    """List the ranges to try. Two-sided ones use 255 of the 256 integers, so that 0 is in their middle."""
    least, most = (float(rows.min()), float(rows.max())) if ends is None else ends
    low, high = min(least, 0), max(most, 0)
    one_sided = -low <= 0.25 * high
    zeros = _ZEROS_ONE_SIDED if one_sided else (_ZERO,)
    if ends is not None and low == 0:
        # Of all that was seen nothing lies below 0: what Relu returns. From 0 on, it needs no Relu any more.
        zeros = (0,)
    largest = max(high, 0 if one_sided else -low, 1e-12)
    ranges = []
    for zero in zeros:
        steps = 255 - zero
        if each_row:
            floor = max(-low / zero * steps, 1e-12) if one_sided else 1e-12
            ranges.append(Range(zero, 1 / steps, floor, one_sided=one_sided))
        else:
            clips = (1.0,) if ends is None else _CLIPS
            ranges += [Range(zero, clip * largest / steps, each_row=False, one_sided=one_sided) for clip in clips]
    return ranges
