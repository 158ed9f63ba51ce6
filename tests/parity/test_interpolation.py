"""Interpolation equals `torch.nn.functional.interpolate` at every size."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxpress.image.interpolation import Mode, interpolate, likeliest

EDGES = st.integers(1, 400)


def by_torch(values: np.ndarray, size: tuple[int, int], mode: Mode) -> np.ndarray:
    import torch

    options = {} if mode == "nearest" else {"align_corners": False}
    answer: np.ndarray = torch.nn.functional.interpolate(
        torch.from_numpy(values)[None], size=size, mode=mode, **options
    )[0].numpy()
    return answer


@pytest.mark.parametrize("mode", get_args(Mode))
@given(EDGES, EDGES, EDGES, EDGES, st.integers(0, 9))
def test_every_size(mode: Mode, height: int, width: int, tall: int, wide: int, seed: int) -> None:
    values = np.random.default_rng(seed).uniform(-1, 1, (2, height, width)).astype(np.float32)
    expected = by_torch(values, (tall, wide), mode)
    assert np.allclose(interpolate(values, (tall, wide), mode), expected, rtol=0, atol=1e-5)


@given(st.integers(2, 20), EDGES, EDGES, EDGES, EDGES)
def test_the_likeliest_layer(layers: int, height: int, width: int, tall: int, wide: int) -> None:
    """But for places where two layers are as likely."""
    height, width = min(height, 60), min(width, 60)
    values = np.random.default_rng(layers).standard_normal((layers, height, width)).astype(np.float32)
    different = likeliest(values, (tall, wide)) != by_torch(values, (tall, wide), "bilinear").argmax(axis=0)
    assert different.sum() <= 1
