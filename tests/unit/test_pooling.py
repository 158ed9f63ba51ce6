"""A vector does not depend on the padding of its text's row: not in its last bit either."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxpress.math import POOLING, pool


@settings(max_examples=15)
@given(
    st.lists(st.integers(1, 70), min_size=1, max_size=6), st.sampled_from(["left", "right"]), st.integers(0, 2**32 - 1)
)
@pytest.mark.parametrize("mode", sorted(POOLING))
def test_padding_changes_no_bit(mode: str, lengths: list[int], side: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    texts = [rng.standard_normal((length, 96)).astype(np.float32) for length in lengths]
    width = max(lengths)
    hidden = np.zeros((len(texts), width, 96), np.float32)
    attention = np.zeros((len(texts), width), bool)
    for place, text in enumerate(texts):
        own = slice(0, len(text)) if side == "right" else slice(width - len(text), width)
        hidden[place, own], attention[place, own] = text, True
    alone = [pool(text[None], np.ones((1, len(text)), bool), [mode])[0] for text in texts]
    np.testing.assert_array_equal(pool(hidden, attention, [mode]), np.stack(alone))
