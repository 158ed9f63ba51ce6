"""Weights to integers: exact where that is possible, and nearer than plain rounding where inputs are correlated."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxpress_exporter.quantize.rounding import (
    INT8,
    UINT4,
    UINT4_SYMMETRIC,
    UINT8,
    UINT8_SYMMETRIC,
    Levels,
    _inverse_of_triangle,
    round_weights,
)

ALL = (INT8, UINT4, UINT4_SYMMETRIC, UINT8, UINT8_SYMMETRIC)


def correlated(rows: int, width: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(rows, width)) @ rng.normal(size=(width, width)) ** 3).astype(np.float32)


@pytest.mark.parametrize("levels", ALL)
@pytest.mark.parametrize("group", [None, 16, 20])
def test_integers_stay_within_their_levels(levels: Levels, group: int | None) -> None:
    weights = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
    rows = correlated(200, 40)
    for hessian in (None, rows.T @ rows / 200):
        rounded = round_weights(weights, levels, hessian, group)
        assert rounded.integers.min() >= levels.lowest and rounded.integers.max() <= levels.highest
        assert rounded.weights().shape == weights.shape
        assert np.isfinite(rounded.weights()).all()


@given(st.integers(0, 2**32 - 1), st.integers(1, 41), st.booleans())
@settings(max_examples=30, deadline=None)
def test_neighbours_stay_within_what_16_bits_hold(seed: int, inputs: int, known: bool) -> None:
    rng = np.random.default_rng(seed)
    weights = (rng.normal(size=(inputs, 7)) + rng.integers(-2, 3, 7)).astype(np.float32)
    rows = rng.normal(size=(200, inputs)).astype(np.float32)
    integers = round_weights(weights, INT8, rows.T @ rows / 200 if known else None).integers
    integers = np.concatenate([integers, np.zeros((inputs % 2, 7), np.int32)])
    for sign in (1, -1):
        sums = np.maximum(sign * integers, 0).reshape(-1, 2, 7).sum(axis=1)
        assert 255 * sums.max() <= 2**15 - 1


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_what_can_be_represented_is_kept(seed: int) -> None:
    rng = np.random.default_rng(seed)
    integers = rng.integers(-64, 65, (24, 5))
    integers[0], integers[1] = 127, 1
    scales = np.exp(rng.normal(size=5)).astype(np.float32)
    weights = (integers * scales).astype(np.float32)
    rows = rng.normal(size=(100, 24)).astype(np.float32)
    for hessian in (None, rows.T @ rows / 100):
        np.testing.assert_allclose(round_weights(weights, INT8, hessian).weights(), weights, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("levels", [INT8, UINT4])
@pytest.mark.parametrize("group", [None, 32])
def test_moving_errors_on_makes_the_product_better(levels: Levels, group: int | None) -> None:
    rng = np.random.default_rng(1)
    weights, rows = rng.normal(size=(96, 32)).astype(np.float32), correlated(2000, 96)
    hessian = rows.T @ rows / len(rows)

    def error(compensate: bool) -> float:
        found = round_weights(weights, levels, hessian, group, compensate=compensate).weights()
        return float(np.square(rows @ (found - weights)).mean())

    assert error(compensate=True) < 0.6 * error(compensate=False)


def test_channels_that_never_speak_do_no_harm() -> None:
    weights = np.random.default_rng(2).normal(size=(32, 8)).astype(np.float32)
    rows = correlated(300, 32)
    rows[:, :4] = 0
    found = round_weights(weights, INT8, rows.T @ rows / 300).weights()
    assert np.isfinite(found).all()
    assert np.abs(found - weights).max() < 0.2


def test_all_zero_weights() -> None:
    for levels in ALL:
        assert not round_weights(np.zeros((32, 4), np.float32), levels).weights().any()


def test_the_same_input_gives_the_same_integers() -> None:
    weights, rows = np.random.default_rng(3).normal(size=(64, 8)).astype(np.float32), correlated(300, 64)
    first, second = (round_weights(weights, INT8, rows.T @ rows / 300) for _ in range(2))
    np.testing.assert_array_equal(first.integers, second.integers)


@given(st.integers(0, 2**32 - 1), st.integers(1, 400))
@settings(max_examples=15, deadline=None)
def test_a_triangle_is_inverted_by_halves(seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    upper = np.triu(rng.normal(size=(size, size)), 1) / size + np.diag(rng.uniform(0.5, 2, size))
    inverse = _inverse_of_triangle(upper)
    np.testing.assert_allclose(inverse @ upper, np.eye(size), atol=1e-9)
    assert not np.tril(inverse, -1).any()


@pytest.mark.parametrize("levels", ALL)
def test_a_diagonal_rounds_each_weight_for_itself(levels: Levels) -> None:
    rng = np.random.default_rng(3)
    weights, energy = rng.normal(size=(40, 6)).astype(np.float32), rng.uniform(0.1, 3, 40).astype(np.float32)
    alone, whole = round_weights(weights, levels, energy), round_weights(weights, levels, np.diag(energy))
    assert (alone.scales == whole.scales).all()
    # Of two neighbours with one limit the one of more energy comes first, here and there.
    assert (alone.integers == whole.integers).mean() > (0.95 if levels.pair else 0.999)
