"""Numbers are resized as scipy does it, whatever the sizes."""

from __future__ import annotations

import warnings

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from onnxpress.image.smoothing import smooth_resize

SIZES = st.integers(1, 70)


@settings(max_examples=60)
@given(st.tuples(SIZES, SIZES), st.tuples(SIZES, SIZES), st.integers(0, 9))
def test_as_scipy(old: tuple[int, int], new: tuple[int, int], seed: int) -> None:
    values = np.random.default_rng(seed).uniform(-1, 1, (3, *old)).astype(np.float32)
    factors = np.divide(old, new)
    smoothed = ndimage.gaussian_filter(values, (0, *np.maximum(0, (factors - 1) / 2)), mode="mirror")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = ndimage.zoom(smoothed, (1, *(1 / factors)), order=1, mode="mirror", grid_mode=True)
    obtained = smooth_resize(values, new)
    assert obtained.dtype == np.float32 and obtained.shape == expected.shape == (3, *new)
    assert np.allclose(obtained, np.clip(expected, values.min(), values.max()), atol=1e-6)


def test_a_picture_of_its_size_stays_as_it_is() -> None:
    values = np.random.default_rng(0).uniform(0, 1, (3, 9, 7)).astype(np.float32)
    assert np.array_equal(smooth_resize(values, (9, 7)), values)
