"""The largest few of long rows, and sums of exponentials."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxpress.generation import largest as module
from onnxpress.generation.largest import blocks_of, largest, log_sums


@given(
    groups=st.integers(1, 3),
    together=st.integers(1, 4),
    columns=st.sampled_from([9, 50, 4096, 4097, 5003, 12_345]),
    count=st.integers(1, 9),
    values=st.sampled_from([3, 1_000_000]),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=60)
def test_the_largest_are_those_that_sorting_finds(
    groups: int, together: int, columns: int, count: int, values: int, seed: int
) -> None:
    """With many equal numbers as well, and where most of a row is excluded."""
    random = np.random.default_rng(seed)
    rows = random.integers(-values, values, (groups * together, columns)).astype(np.float32)
    rows[random.random(rows.shape) < 0.5] = -np.inf
    add = random.integers(-9, 9, len(rows)).astype(np.float32)
    inside, found, numbers = largest(blocks_of(rows, count), count, together, add)
    every = (rows + add[:, None]).reshape(groups, -1)
    np.testing.assert_array_equal(numbers, np.sort(every, axis=1)[:, ::-1][:, :count])
    np.testing.assert_array_equal(np.take_along_axis(every, inside * columns + found, axis=1), numbers)
    assert all(len(set(places)) == count for places in (inside * columns + found).tolist())


def test_long_rows_are_cut_into_blocks() -> None:
    """Else the test above would show little."""
    assert blocks_of(np.zeros((2, module.LONG), np.float32), 8).size > 1
    assert blocks_of(np.zeros((2, module.LONG - 1), np.float32), 8).size == 1


def test_sums_of_exponentials() -> None:
    rows = np.array([[0.0, 1.0, 200.0], [-300.0, -300.0, -np.inf], [-np.inf] * 3], np.float32)
    found = log_sums(rows, rows.max(axis=1))
    np.testing.assert_allclose(found[:2], [200.0, -300 + np.log(2)], rtol=1e-6)
    assert np.isfinite(found[2])
