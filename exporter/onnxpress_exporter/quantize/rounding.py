"""Rounds weights to integers so that the product's error on real inputs is small, not the weights'. Pure numpy.

`gptq` rounds one input channel after the other and moves what it got wrong onto the channels not yet rounded, as far as
they are alike on the calibration's rows (Frantar, Ashkboos, Hoefler, Alistarh: GPTQ, ICLR 2023; the order and the
damping are theirs). Everything here is deterministic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

#: Share of the mean diagonal that is added to it, so that the inverse exists.
DAMPING = 0.01
#: Channels rounded before their errors are moved onto the rest by one matrix product; and, among them, before they are
#: moved onto the others of these: a channel alone reads and writes as much memory as a product of many.
BLOCK, STEP = 128, 16
#: A triangular matrix of at most this size is inverted as any other.
_SMALL_TRIANGLE = 96
#: Shares of the largest weight that are tried as the end of the range; where two weights share a limit, more than it.
CLIPS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6)
CLIPS_OF_PAIRS = (2.0, 1.6, 1.35, 1.15, *CLIPS)


@dataclass(frozen=True, slots=True)
class Rounded:
    """`integers` int32 (inputs, outputs) of lowest..highest; weights = (integers - zeros) * scales.

    `scales` float32 and `zeros` int32: (groups, outputs), one group for every `inputs / groups` input channels.
    """

    integers: NDArray[np.int32]
    scales: Array
    zeros: NDArray[np.int32]

    def weights(self) -> Array:
        """The weights that the integers stand for: float32 (inputs, outputs)."""
        repeat = -(-self.integers.shape[0] // self.scales.shape[0])
        scales = np.repeat(self.scales, repeat, axis=0)[: self.integers.shape[0]]
        zeros = np.repeat(self.zeros, repeat, axis=0)[: self.integers.shape[0]]
        return ((self.integers - zeros) * scales).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Levels:
    """The integers that a weight may become. `symmetric`: around a fixed zero; otherwise each group has its own.

    `pair`: what integers of one sign may add up to in two neighbours, input channels 2i and 2i + 1, of one output.
    """

    lowest: int
    highest: int
    symmetric: bool = True
    pair: int | None = None

    @property
    def zero(self) -> int:
        """The integer of weight 0 where it is fixed."""
        return (self.lowest + self.highest + 1) // 2


#: AVX2's vpmaddubsw adds the products of two neighbours with unsigned 8-bit activations in 16 bits: 255 * 128 is within
#: them. Few pairs are cut by that, where weights of 7 bits, the usual remedy, lose half of the precision.
INT8 = Levels(-127, 127, pair=128)
UINT8 = Levels(0, 255, symmetric=False)
UINT4 = Levels(0, 15, symmetric=False)
UINT4_SYMMETRIC = Levels(0, 15)
UINT8_SYMMETRIC = Levels(0, 255)


def round_weights(
    weights: Array,
    levels: Levels,
    hessian: Array | None = None,
    group: int | None = None,
    *,
    compensate: bool = True,
    clips: Sequence[float] | None = None,
) -> Rounded:
    """Round float32 (inputs, outputs) weights.

    Args:
        hessian: float32 (inputs, inputs), the mean of x x^T over calibration rows x, or (inputs), its diagonal, by
            which every weight is rounded for itself; None: all inputs alike.
        group: input channels that share a scale; None: all, one scale per output.
        compensate: whether later channels take over the errors of earlier ones. Needs `hessian`.
        clips: shares of the largest weight that are tried as the end of the range; None: the usual ones.
    """
    if clips is None:
        clips = CLIPS if levels.pair is None else CLIPS_OF_PAIRS
    inputs = weights.shape[0]
    group = inputs if group is None else group
    importance = np.ones(inputs, np.float32) if hessian is None else np.maximum(diagonal(hessian), 1e-12)
    scales, zeros = _ranges(weights, levels, importance, group, clips)
    if hessian is None or hessian.ndim == 1 or not compensate:
        places = np.arange(inputs) // group
        whole = _to_levels(weights, scales[places], zeros.astype(np.float32)[places], levels)
        integers = _paired(whole, levels, importance).astype(np.int32)
    else:
        integers = gptq(weights, hessian, scales, zeros, levels, group)
    return Rounded(integers, scales, zeros)


def diagonal(hessian: Array) -> Array:
    """float32 (inputs): the diagonal of a Hessian, or what there is of it."""
    return hessian if hessian.ndim == 1 else np.diag(hessian)


def gptq(
    weights: Array, hessian: Array, scales: Array, zeros: NDArray[np.int32], levels: Levels, group: int
) -> NDArray[np.int32]:
    """Integers of float32 (inputs, outputs) weights for given ranges, errors moved on as the module says."""
    inputs = weights.shape[0]
    order = np.argsort(-np.diag(hessian), kind="stable")
    upper = _inverse_factor(hessian[np.ix_(order, order)])
    rest = weights[order].astype(np.float32)
    places, whole_zeros = order // group, zeros.astype(np.float32)
    result = np.zeros(weights.shape, np.int32)
    for start in range(0, inputs, BLOCK):
        end = min(start + BLOCK, inputs)
        errors = np.empty((end - start, weights.shape[1]), np.float32)
        for first in range(start, end, STEP):
            last = min(first + STEP, end)
            for i in range(first, last):
                scale, zero = scales[places[i]], whole_zeros[places[i]]
                integer = _to_levels(rest[i], scale, zero, levels)
                if levels.pair is not None and order[i] ^ 1 < inputs:
                    integer = _beside(integer, result[order[i] ^ 1].astype(np.float32), levels.pair)
                result[order[i]] = integer
                error = (rest[i] - (integer - zero) * scale) / upper[i, i]
                rest[i + 1 : last] -= upper[i, i + 1 : last, None] * error
                errors[i - start] = error
            rest[last:end] -= upper[first:last, last:end].T @ errors[first - start : last - start]
        rest[end:] -= upper[start:end, end:].T @ errors
    return result


def _inverse_factor(hessian: Array) -> Array:
    """The upper Cholesky factor of the damped Hessian's inverse."""
    matrix = hessian.astype(np.float64)
    mean = float(np.mean(np.diag(matrix))) or 1.0
    damping = DAMPING * mean
    while True:
        try:
            # H = R R^T with R upper, from the Cholesky factor of H backwards; then R^-1 is the factor of H^-1.
            factor = np.linalg.cholesky((matrix + damping * np.eye(len(matrix)))[::-1, ::-1])[::-1, ::-1]
            return np.ascontiguousarray(_inverse_of_triangle(factor).astype(np.float32))
        except np.linalg.LinAlgError:
            damping *= 10


def _inverse_of_triangle(upper: NDArray[Any]) -> NDArray[Any]:
    """The inverse of an upper triangular matrix, by halves: a quarter of the work of a general inverse, in products."""
    half = len(upper) // 2
    if len(upper) <= _SMALL_TRIANGLE:
        return np.linalg.inv(upper)
    inverse = np.zeros_like(upper)
    inverse[:half, :half] = _inverse_of_triangle(upper[:half, :half])
    inverse[half:, half:] = _inverse_of_triangle(upper[half:, half:])
    inverse[:half, half:] = -(inverse[:half, :half] @ upper[:half, half:]) @ inverse[half:, half:]
    return inverse


def _ranges(
    weights: Array, levels: Levels, importance: Array, group: int, clips: Sequence[float]
) -> tuple[Array, NDArray[np.int32]]:
    """Per group of inputs and per output, the scale and zero with the least weighted error of plain rounding."""
    scales, zeros = [], []
    for start in range(0, weights.shape[0], group):
        part, weight = weights[start : start + group], importance[start : start + group]
        low, high = np.minimum(part.min(axis=0), 0), np.maximum(part.max(axis=0), 0)
        best: tuple[Any, Any, Any] | None = None
        for clip in clips:
            scale, zero = _scale(low * clip, high * clip, levels)
            whole = _paired(_to_levels(part, scale, zero, levels), levels, weight)
            whole -= zero
            whole *= scale
            error = weight @ np.square(np.subtract(part, whole, out=whole), out=whole)
            if best is None:
                best = (error, scale, zero)
            else:
                better = error < best[0]
                best = tuple(np.where(better, a, b) for a, b in zip((error, scale, zero), best, strict=True))  # type: ignore[assignment]
        assert best is not None
        scales.append(best[1])
        zeros.append(best[2])
    return np.stack(scales).astype(np.float32), np.stack(zeros).astype(np.int32)


def _scale(low: Array, high: Array, levels: Levels) -> tuple[Array, Array]:
    """float32 scale and zero, which is a whole number."""
    if levels.symmetric:
        reach = levels.highest - levels.zero
        scale = np.maximum(np.maximum(-low, high) / reach, 1e-12).astype(np.float32)
        return scale, np.full(low.shape, levels.zero, np.float32)
    scale = np.maximum((high - low) / (levels.highest - levels.lowest), 1e-12).astype(np.float32)
    return scale, np.clip(np.rint(levels.lowest - low / scale), levels.lowest, levels.highest).astype(np.float32)


def _to_levels(weights: Array, scale: Array, zero: Array, levels: Levels) -> Array:
    """The integers of weights, as float32: numpy multiplies integers and float32 in 64 bits, which takes three times as
    long."""
    whole: Array = weights / scale
    np.rint(whole, out=whole)
    whole += zero
    return np.clip(whole, levels.lowest, levels.highest, out=whole)


def _paired(integers: Array, levels: Levels, importance: Array) -> Array:
    """Limit neighbours to what they may add up to: of each pair the less important one is changed."""
    if levels.pair is None:
        return integers
    even = len(integers) - len(integers) % 2
    # Few are beyond it, and only where both have one sign.
    pairs, outputs = np.nonzero(np.abs(integers[0:even:2] + integers[1:even:2]) > levels.pair)
    if not len(pairs):
        return integers
    paired = integers.copy()
    first = importance[0:even:2] >= importance[1:even:2]
    leading = 2 * pairs + np.where(first[pairs], 0, 1)
    paired[leading ^ 1, outputs] = _beside(paired[leading ^ 1, outputs], paired[leading, outputs], levels.pair)
    return paired


def _beside(integers: Array, others: Array, limit: int) -> Array:
    """Limit `integers` to what they may be beside `others`, which are 0 where they are not known yet."""
    limited: Array = np.clip(integers, -limit - np.minimum(others, 0), limit - np.maximum(others, 0))
    return limited
