"""Interpolates numbers on a grid as `torch.nn.functional.interpolate` does, with numpy alone: what a model answers for
its own grid, as the pixels of the picture have it.

Not as Pillow resizes pictures: nothing is averaged where a grid becomes coarser. The numbers of an output's place are
weighed along its row first and then along its column, with positions and weights in float32, as PyTorch computes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Mode = Literal["nearest", "bilinear", "bicubic"]

Floats = NDArray[np.float32]

#: Numbers that are interpolated at once: what fits into a processor's cache.
BAND = 1 << 18

#: The parameter of R. Keys' cubic convolution (IEEE ASSP 29, 1981), as PyTorch has it.
_A = np.float32(-0.75)


@dataclass(frozen=True, slots=True)
class Taps:
    """Which places of an axis an output's place is made of: `indices` int (taps, size), `weights` float32 alike."""

    indices: NDArray[np.intp]
    weights: Floats

    def of(self, places: slice) -> Taps:
        """Those of some places of the output."""
        return Taps(self.indices[:, places], self.weights[:, places])

    def along_rows(self, values: Floats) -> Floats:
        """float32 (..., height, width) -> (..., height, size)."""
        return self._sum(values, self.weights[:, None], -1)

    def along_columns(self, values: Floats) -> Floats:
        """float32 (..., height, width) -> (..., size, width)."""
        return self._sum(values, self.weights[:, :, None], -2)

    def _sum(self, values: Floats, weights: Floats, axis: int) -> Floats:
        total: Floats = np.take(values, self.indices[0], axis)
        if len(weights) > 1:
            total *= weights[0]
            for index, weight in zip(self.indices[1:], weights[1:], strict=True):
                part = np.take(values, index, axis)
                part *= weight
                total += part
        return total


def interpolate(values: NDArray[Any], size: tuple[int, int], mode: Mode = "bilinear") -> Floats:
    """float32 (..., height, width) -> (..., *size), as PyTorch with `align_corners=False`."""
    result = np.empty((*values.shape[:-2], *size), dtype=np.float32)
    for rows, band in bands(values, size, mode):
        result[..., rows, :] = band
    return result


def bands(
    values: NDArray[Any], size: tuple[int, int], mode: Mode = "bilinear", numbers: int = BAND
) -> Iterator[tuple[slice, Floats]]:
    """The same, some rows of the output at a time, from the top: (which rows, float32 (..., rows, width)).

    Args:
        numbers: at most so many are returned at once, but one row always.
    """
    values = np.asarray(values, dtype=np.float32)
    if values.shape[-2:] == tuple(size):
        yield slice(0, size[0]), values.copy()
        return
    down, across = (taps(source, target, mode) for source, target in zip(values.shape[-2:], size, strict=True))
    layers = max(1, int(np.prod(values.shape[:-2], dtype=np.int64)))
    step = max(1, numbers // (layers * size[1]))
    for start in range(0, size[0], step):
        rows = slice(start, min(start + step, size[0]))
        places = down.of(rows)
        first, last = int(places.indices.min()), int(places.indices.max())
        wide = across.along_rows(values[..., first : last + 1, :])
        yield rows, Taps(places.indices - first, places.weights).along_columns(wide)


def taps(source: int, target: int, mode: Mode) -> Taps:
    """How `target` places of an axis are made of `source`."""
    return _TAPS[mode](source, target)


def _scale(source: int, target: int) -> np.float32:
    return np.float32(source) / np.float32(target)


def _positions(source: int, target: int) -> Floats:
    """Where the middle of each output's place lies: a product and a difference that are rounded once, as processors
    that multiply and add in one step do it."""
    exact = np.float64(_scale(source, target)) * (np.arange(target) + 0.5) - 0.5
    return exact.astype(np.float32)


def _nearest(source: int, target: int) -> Taps:
    places = np.arange(target, dtype=np.float32) * _scale(source, target)
    indices = np.minimum(places.astype(np.intp), source - 1)
    return Taps(indices[None], np.ones((1, target), dtype=np.float32))


def _bilinear(source: int, target: int) -> Taps:
    positions = np.maximum(_positions(source, target), np.float32(0))
    first = np.minimum(positions.astype(np.intp), source - 1)
    share = np.clip(positions - first.astype(np.float32), 0, 1, dtype=np.float32)
    return Taps(np.stack([first, np.minimum(first + 1, source - 1)]), np.stack([1 - share, share]))


def _bicubic(source: int, target: int) -> Taps:
    positions = _positions(source, target)
    first = np.floor(positions)
    share = np.clip(positions - first, 0, 1, dtype=np.float32)
    weights = [_far(share + 1), _near(share), _near(1 - share), _far(2 - share)]
    indices = first.astype(np.intp) + np.arange(-1, 3)[:, None]
    return Taps(np.clip(indices, 0, source - 1), np.stack(weights))


def _near(distance: Floats) -> Floats:
    """The weight of a place at most 1 away."""
    return ((_A + 2) * distance - (_A + 3)) * distance * distance + 1


def _far(distance: Floats) -> Floats:
    """The weight of a place from 1 to 2 away."""
    return ((_A * distance - 5 * _A) * distance + 8 * _A) * distance - 4 * _A


_TAPS: Mapping[Mode, Callable[[int, int], Taps]] = {
    "nearest": _nearest,
    "bilinear": _bilinear,
    "bicubic": _bicubic,
}


def likeliest(scores: NDArray[Any], size: tuple[int, int]) -> NDArray[np.intp]:
    """int (*size): at each place of the output the layer with the largest bilinear number, the first of equal ones.

    Where all four neighbours of a place have the same largest layer, so has every number between them: most of a
    picture is never interpolated.

    Args:
        scores: float32 (layers, height, width).
    """
    scores = np.ascontiguousarray(np.moveaxis(np.asarray(scores, dtype=np.float32), 0, -1))
    height, width, layers = scores.shape
    largest = scores.argmax(axis=-1)
    down, across = taps(height, size[0], "bilinear"), taps(width, size[1], "bilinear")
    corners = [largest[rows][:, columns] for rows in down.indices for columns in across.indices]
    result: NDArray[np.intp] = corners[0].copy()
    mixed_rows, mixed_columns = np.nonzero(np.logical_or.reduce([corner != result for corner in corners[1:]]))
    step = max(1, BAND // layers)
    for start in range(0, len(mixed_rows), step):
        rows, columns = mixed_rows[start : start + step], mixed_columns[start : start + step]
        numbers = np.zeros((len(rows), layers), dtype=np.float32)
        for above, of_row in zip(down.indices, down.weights, strict=True):
            left, right = (scores[above[rows], places[columns]] for places in across.indices)
            left *= across.weights[0, columns, None]
            right *= across.weights[1, columns, None]
            left += right
            left *= of_row[rows, None]
            numbers += left
        result[rows, columns] = numbers.argmax(axis=-1)
    return result
