"""Interpolation of numbers on a grid: what holds of every size, without PyTorch (tests/parity compares with it)."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxpress.image.interpolation import Mode, bands, interpolate, likeliest, taps

EDGES = st.integers(1, 40)
MODES = pytest.mark.parametrize("mode", get_args(Mode))


def grid(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


@MODES
@given(EDGES, EDGES, EDGES, EDGES)
def test_one_number_everywhere_stays(mode: Mode, height: int, width: int, tall: int, wide: int) -> None:
    result = interpolate(np.full((2, height, width), 3.5), (tall, wide), mode)
    assert result.shape == (2, tall, wide) and result.dtype == np.float32
    assert np.allclose(result, 3.5, atol=1e-5)


@MODES
def test_a_grid_of_its_own_size_is_copied(mode: Mode) -> None:
    values = grid(3, 5, 7)
    result = interpolate(values, (5, 7), mode)
    assert np.array_equal(result, values)
    result[:] = 0
    assert values.any()


@MODES
@given(EDGES, EDGES)
def test_places_are_in_the_source_and_weights_add_up(mode: Mode, source: int, target: int) -> None:
    of_axis = taps(source, target, mode)
    assert of_axis.indices.min() >= 0 and of_axis.indices.max() < source
    assert np.allclose(of_axis.weights.sum(axis=0), 1, atol=1e-5)


@MODES
@given(EDGES, EDGES, EDGES, EDGES, st.integers(1, 200))
def test_bands_are_the_whole_cut_up(mode: Mode, height: int, width: int, tall: int, wide: int, numbers: int) -> None:
    values = grid(2, height, width)
    cut = list(bands(values, (tall, wide), mode, numbers))
    assert [rows.start for rows, _ in cut[1:]] == [rows.stop for rows, _ in cut[:-1]]
    assert np.array_equal(np.concatenate([band for _, band in cut], axis=-2), interpolate(values, (tall, wide), mode))


@given(st.integers(1, 6), EDGES, EDGES, EDGES, EDGES)
def test_the_likeliest_layer_is_that_of_the_interpolated(
    layers: int, height: int, width: int, tall: int, wide: int
) -> None:
    scores = grid(layers, height, width)
    assert np.array_equal(likeliest(scores, (tall, wide)), interpolate(scores, (tall, wide)).argmax(axis=0))


def test_of_equal_layers_the_first_is_the_likeliest() -> None:
    assert not likeliest(np.zeros((3, 2, 2), np.float32), (5, 5)).any()


def test_known_numbers() -> None:
    row = np.array([[0.0, 1.0, 2.0]])
    assert interpolate(row, (1, 6), "nearest").tolist() == [[0, 0, 1, 1, 2, 2]]
    assert np.allclose(interpolate(row, (1, 6)), [[0, 0.25, 0.75, 1.25, 1.75, 2]])
    assert np.allclose(interpolate(np.array([[0.0, 0, 1, 0, 0]]), (1, 10), "bicubic")[0, 4:6], [0.87890625] * 2)
