"""Resizes numbers as scipy's `gaussian_filter` and `zoom` (order 1, mode "mirror", grid_mode) do one after the other:
only what the new pixels are made of is computed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onnxpress.format.picture_sizes import Pixels

#: Deviations from the middle at which the bell is cut.
_REACH = 4.0


def smooth_resize(values: NDArray[np.float32], size: Pixels) -> NDArray[np.float32]:
    """float32 (channels, height, width) -> float32 (channels, *size), within the range of `values`."""
    resized = np.empty((len(values), *size), np.float32)
    rows, columns = (_taps(old, new) for old, new in zip(values.shape[1:], size, strict=True))
    for target, channel in zip(resized, values, strict=True):
        target[:] = _sums(_sums(channel, *rows).T, *columns).T
    return np.clip(resized, values.min(), values.max(), out=resized)


def _sums(lines: NDArray[np.floating], places: NDArray[np.intp], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """(old, n) -> float64 (new, n): sums of lines, with weights."""
    total = np.zeros((len(places), lines.shape[1]))
    for place, weight in zip(places.T, weights.T, strict=True):
        total += lines[place] * weight[:, None]
    return total


def _taps(old: int, new: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Of which old pixels each new one is made, and how much of each: both (new, taps)."""
    factor = old / new
    bell = _bell(max(0.0, (factor - 1) / 2))
    middles = _mirrored_middles((np.arange(new, dtype=np.float64) + 0.5) * factor - 0.5, old)
    below = np.floor(middles)
    share = (middles - below)[:, None]
    none = np.zeros(1)
    weights = (1 - share) * np.concatenate([bell, none]) + share * np.concatenate([none, bell])
    reach = len(bell) // 2
    places = below[:, None].astype(np.intp) + np.arange(-reach, reach + 2)
    return _mirrored(places, old), weights


def _bell(deviation: float) -> NDArray[np.float64]:
    """float64 (an odd number,): weights that add up to 1."""
    reach = int(_REACH * deviation + 0.5)
    if not reach:
        return np.ones(1)
    weights: NDArray[np.float64] = np.exp(-0.5 / deviation**2 * np.arange(-reach, reach + 1) ** 2)
    return np.asarray(weights / weights.sum())


def _mirrored_middles(middles: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Places before the first pixel and behind the last, mirrored in it."""
    inside = np.abs(middles)
    return np.where(inside > count - 1, np.maximum(2 * (count - 1) - inside, 0), inside)


def _mirrored(places: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """Whole places, mirrored in the first pixel and in the last as often as it takes."""
    if count == 1:
        return np.zeros_like(places)
    period = 2 * (count - 1)
    within = np.abs(places) % period
    return np.asarray(np.minimum(within, period - within))
