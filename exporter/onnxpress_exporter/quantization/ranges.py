"""From a sample of a site's rows to the range of its 8 bits, and to the balance of its channels. Pure numpy.

Both are chosen by the error that reaches the product: an error in a channel counts as much as that channel's weights.
Taking errors of channels as independent, it is the sum over channels of (squared error x squared length of the
channel's weights), which needs no product to be computed. A few tokens have values many times those of others; a
residual connection and a normalization follow, so that their errors count by their own size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxpress_exporter.quantization.calibration import Statistics
from onnxpress_exporter.quantization.rounding import Levels, round_weights

Array = NDArray[np.float32]

#: Shares of a row's largest value that are tried as the end of its range.
_CLIPS = (1.0, 0.9, 0.8, 0.7)
#: Integers of 0 that are tried where little lies below it.
_ZEROS_ONE_SIDED = (16, 30, 48)
_ZERO = 128

#: Rows that balances are tried on.
_ROWS = 256
#: Exponents of |x|^a / |W|^(1 - a) that are tried; |x| is a channel's largest, a high percentile, or its usual size.
#: (SmoothQuant, Xiao et al., ICML 2023, has the first of these, and one exponent for the whole model.)
_EXPONENTS = (0.5, 0.65)
#: What `gptq` leaves of the error of weights that are rounded plainly: measured at a half to a tenth.
_LEFT_BY_ROUNDING = 0.25


@dataclass(frozen=True, slots=True)
class Range:
    """How a value becomes uint8: the step of a row is `clip` times what the row needs, and `floor` at least."""

    zero: int
    floor: float
    clip: float = 1.0
    one_sided: bool = False

    def restored(self, rows: Array) -> Array:
        """float32 (rows, channels) after the integers."""
        ends = [rows.max(axis=1, keepdims=True) / (255 - self.zero)]
        if not self.one_sided:
            ends.append(-rows.min(axis=1, keepdims=True) / self.zero)
        step = np.maximum(np.maximum.reduce(ends) * np.float32(self.clip), np.float32(self.floor))
        integers = np.clip(np.rint(rows / step) + self.zero, 0, 255)
        found: Array = ((integers - self.zero) * step).astype(np.float32)
        return found


def choose_range(rows: Array, importance: Array) -> Range:
    """The range with the least error.

    Args:
        rows: float32 (sample, channels). importance: (channels), the squared length of each channel's weights.
    """
    return min(_ranges(rows), key=lambda one: _error(rows, one, importance))


def choose_balance(statistics: Statistics, weights: Array, levels: Levels) -> Array | None:
    """float32 (channels), geometric mean 1: what to divide activations and multiply weights by; None: better without.

    Args:
        weights: float32 (channels, outputs), of all products together.
        levels: what the weights are rounded to.
    """
    rows = statistics.rows[:: max(1, len(statistics.rows) // _ROWS)]
    energy = np.diag(statistics.hessian)
    best: Array | None = None
    least = np.inf
    for factors in (None, *_balances(statistics, weights)):
        divisor = np.ones(len(weights), np.float32) if factors is None else factors
        scaled = weights * divisor[:, None]
        balanced = rows / divisor
        chosen = choose_range(balanced, np.square(scaled).sum(axis=1))
        error = _error(balanced, chosen, np.square(scaled).sum(axis=1))
        missed = round_weights(scaled, levels, compensate=False, clips=(1.0,)).weights() - scaled
        error += _LEFT_BY_ROUNDING * float((energy / np.square(divisor)) @ np.square(missed).sum(axis=1))
        if error < least:
            best, least = factors, error
    return best


def _balances(statistics: Statistics, weights: Array) -> Iterator[Array]:
    sizes = (
        statistics.largest,
        np.percentile(np.abs(statistics.rows), 99, axis=0),
        np.sqrt(np.maximum(np.diag(statistics.hessian), 0)),
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


def _error(rows: Array, chosen: Range, importance: Array) -> float:
    """Mean squared error of the product, less for rows that are larger than most: what follows evens rows out."""
    errors = np.square(rows - chosen.restored(rows)) @ importance
    energies = np.square(rows) @ importance
    usual = float(energies.mean()) or 1.0
    return float((2 * errors / (1 + energies / usual)).mean())


def _ranges(rows: Array) -> Sequence[Range]:
    low, high = float(min(rows.min(), 0)), float(max(rows.max(), 0))
    if -low > 0.25 * high:
        return [Range(_ZERO, 1e-12, clip) for clip in _CLIPS]
    return [Range(zero, max(-low / zero, 1e-12), clip, one_sided=True) for zero in _ZEROS_ONE_SIDED for clip in _CLIPS]
