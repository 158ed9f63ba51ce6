"""arrays.py against torch and sentence-transformers, and its invariants."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from onnxpress.errors import InputError
from onnxpress.math import POOLING, normalize, pool, sigmoid, softmax, top_k

FINITE = st.floats(-1e4, 1e4, width=32)


@given(hnp.arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 6)), elements=FINITE))
def test_softmax_is_a_distribution_and_ignores_a_shift(x: np.ndarray) -> None:
    p = softmax(x)
    assert p.dtype == np.float32
    np.testing.assert_allclose(p.sum(axis=-1), 1, atol=1e-5)
    np.testing.assert_allclose(softmax(x - np.float32(2)), p, atol=2e-3)


@given(hnp.arrays(np.float32, st.integers(1, 8), elements=st.floats(-(2.0**90), 2.0**90, width=32)))
def test_sigmoid_never_overflows_and_is_symmetric(x: np.ndarray) -> None:
    with np.errstate(over="raise", invalid="raise"):
        y = sigmoid(x)
    assert ((y >= 0) & (y <= 1)).all()
    np.testing.assert_allclose(y + sigmoid(-x), 1, atol=1e-6)


@given(hnp.arrays(np.float32, st.integers(0, 40), elements=st.integers(-3, 3).map(float)), st.integers(0, 45))
def test_top_k_is_the_head_of_a_stable_sort(x: np.ndarray, k: int) -> None:
    expected = sorted(range(len(x)), key=lambda i: (-x[i], i))[:k]
    assert top_k(x, k).tolist() == expected


def test_normalize_gives_unit_rows_and_leaves_zero_alone() -> None:
    x = np.array([[3, 4], [0, 0]], dtype=np.float32)
    np.testing.assert_allclose(normalize(x), [[0.6, 0.8], [0, 0]])


@settings(deadline=None, max_examples=40, derandomize=True)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    skip=st.integers(0, 3),
    left=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_pool_equals_sentence_transformers(lengths: list[int], skip: int, left: bool, seed: int) -> None:
    torch = pytest.importorskip("torch")
    from sentence_transformers.sentence_transformer.modules import Pooling

    width = max(lengths)
    hidden = np.random.default_rng(seed).standard_normal((len(lengths), width, 4)).astype(np.float32)
    mask = np.array([[i < n for i in range(width)] for n in lengths])
    mask = mask[:, ::-1].copy() if left else mask
    skip = min(skip, min(lengths) - 1)  # a prompt is never the whole text
    modes = tuple(POOLING)
    theirs = Pooling(4, pooling_mode=modes, include_prompt=False)(
        {
            "token_embeddings": torch.tensor(hidden),
            "attention_mask": torch.tensor(mask.astype(np.int64)),
            "prompt_length": skip,
        }
    )["sentence_embedding"].numpy()
    np.testing.assert_allclose(pool(hidden, mask, modes, skip), theirs, atol=1e-5)


@given(st.integers(1, 6), st.integers(0, 4), st.integers(0, 100))
def test_pool_ignores_padding(length: int, padding: int, seed: int) -> None:
    hidden = np.random.default_rng(seed).standard_normal((1, length + padding, 3)).astype(np.float32)
    mask = np.arange(length + padding)[None, :] < length
    for mode in POOLING:
        alone = pool(hidden[:, :length], mask[:, :length], [mode])
        np.testing.assert_allclose(pool(hidden, mask, [mode]), alone, atol=1e-6)


@pytest.mark.parametrize("modes", [(), ("mean", "median")])
def test_pool_refuses_unknown_modes(modes: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="mean"):
        pool(np.zeros((1, 2, 3), np.float32), np.ones((1, 2), bool), modes)
