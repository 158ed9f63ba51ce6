"""When each token was spoken, by what the decoder looked at when it was read, as transformers does it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from onnxpress.speech.tokens import TIME_STEP

Floats = NDArray[np.float32]


def attention_weights(queries: Floats, keys: Floats) -> Floats:
    """float32 (heads, tokens, places), of queries (heads, tokens, size), scaled, and keys (heads, places, size)."""
    scores = np.matmul(queries, keys.swapaxes(1, 2))
    exponents = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights: Floats = exponents / exponents.sum(axis=-1, keepdims=True)
    return weights


def token_times(weights: Floats, width: int) -> list[float]:
    """Seconds at which each token was spoken.

    Args:
        weights: float32 (heads, tokens, places): how much each token looks at each place of 0.02 s.
        width: of the median filter, odd.
    """
    if not weights.shape[1] or not weights.shape[2]:
        return [0.0] * weights.shape[1]
    spread = weights.std(axis=-2, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        even = (weights - weights.mean(axis=-2, keepdims=True)) / spread
    smooth = _median_filtered(even, width).mean(axis=0)
    rows, places = warped(-smooth.astype(np.float64))
    jumps = np.diff(rows, prepend=-1) > 0
    return [float(place * TIME_STEP) for place in places[jumps]]


def _median_filtered(values: Floats, width: int) -> Floats:
    side = width // 2
    if values.shape[-1] <= side:
        return values
    padded = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(side, side)], mode="reflect")
    middle: Floats = np.sort(sliding_window_view(padded, width, axis=-1), axis=-1)[..., side]
    return middle


def warped(costs: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The cheapest path through (rows, columns) from the first corner to the last: its rows and its columns.

    By diagonals, all cells of which are known at once. Sums are float32, and of equal ones a step along the row is
    taken, as transformers does it.
    """
    rows, columns = costs.shape
    total = np.full((rows + 1, columns + 1), np.inf, np.float32)
    total[0, 0] = 0
    steps = np.empty((rows + 1, columns + 1), np.int8)
    for diagonal in range(2, rows + columns + 1):
        i = np.arange(max(1, diagonal - columns), min(rows, diagonal - 1) + 1)
        j = diagonal - i
        both, down, along = total[i - 1, j - 1], total[i - 1, j], total[i, j - 1]
        takes_both = (both < down) & (both < along)
        takes_down = (down < both) & (down < along)
        best = np.where(takes_both, both, np.where(takes_down, down, along))
        total[i, j] = costs[i - 1, j - 1] + best
        steps[i, j] = np.where(takes_both, 0, np.where(takes_down, 1, 2))
    steps[0, :], steps[:, 0] = 2, 1
    path = []
    row, column = rows, columns
    while row or column:
        path.append((row - 1, column - 1))
        step = steps[row, column]
        row, column = row - (step != 2), column - (step != 1)
    corners = np.array(path[::-1], np.int64)
    return corners[:, 0], corners[:, 1]


def times_of(weights: Floats, width: int, frames: int) -> Sequence[float]:
    """`token_times`, of so many frames of 0.01 s alone; what is after them is silence that was added."""
    return token_times(weights[..., : max(frames, 0) // 2], width)
