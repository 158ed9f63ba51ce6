"""Samples become batches without a loss, and come out of them again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxpress.pipelines.collators import PadTokens, Stack, Together, token_ids, token_sample
from onnxpress.samples import Sample

NAMES = ("input_ids", "attention_mask", "token_type_ids")
ROWS = st.lists(st.lists(st.integers(1, 99), min_size=1, max_size=7), min_size=1, max_size=6)


@given(ROWS, st.booleans())
def test_padding_keeps_every_token_and_masks_the_rest(ids: list[list[int]], left: bool) -> None:
    batch = PadTokens(NAMES, 0, 3, "left" if left else "right").collate([token_sample(row) for row in ids])
    for index, row in enumerate(ids):
        span = batch.span(index)
        assert batch.arrays["input_ids"][index, span].tolist() == row
        assert batch.arrays["attention_mask"][index].sum() == len(row)
        assert (batch.arrays["attention_mask"][index, span] == 1).all()
        assert (np.delete(batch.arrays["token_type_ids"][index], span) == 3).all()
        assert (batch.arrays["token_type_ids"][index, span] == 0).all()
    assert all(array.dtype == np.int64 for array in batch.arrays.values())
    np.testing.assert_array_equal(batch.attention, batch.arrays["attention_mask"].astype(bool))


@given(ROWS, st.booleans())
def test_an_output_comes_back_without_its_padding(ids: list[list[int]], left: bool) -> None:
    batch = PadTokens(NAMES, 0, side="left" if left else "right").collate([token_sample(row) for row in ids])
    by_token = np.stack([batch.arrays["input_ids"], -batch.arrays["input_ids"]], axis=-1)
    for index, row in enumerate(ids):
        own = batch.own(index, by_token, ("batch", "sequence", 2))
        assert own.tolist() == [[token, -token] for token in row]
        assert batch.own(index, by_token[:, 0, :], ("batch", 2)).tolist() == by_token[index, 0].tolist()
        own[:] = 0  # a copy, which keeps no batch alive
    assert (by_token[..., 0] == batch.arrays["input_ids"]).all()


def test_type_ids_are_those_of_the_sample() -> None:
    batch = PadTokens(NAMES, 0, 9).collate([token_sample([4, 5], [0, 1]), token_sample([6])])
    assert batch.arrays["token_type_ids"].tolist() == [[0, 1], [0, 9]]


def test_a_batch_of_tokens_has_only_what_the_graph_takes() -> None:
    assert set(PadTokens(("input_ids", "past"), 0).collate([token_sample([1])]).arrays) == {"input_ids"}


def test_lengths_share_a_batch_only_where_padding_is_harmless() -> None:
    short, long = token_sample([1]), token_sample([1, 2])
    assert PadTokens(NAMES, 0).key(short) == PadTokens(NAMES, 0).key(long)
    assert PadTokens(NAMES, 0, pads=False).key(short) != PadTokens(NAMES, 0, pads=False).key(long)
    assert token_ids(long) == [1, 2]


def test_stacked_arrays_come_back() -> None:
    pictures = [np.full((3, 2, 2), number, np.float32) for number in range(4)]
    collator = Stack()
    batch = collator.collate([Sample({"pixels": picture}, 4) for picture in pictures])
    assert batch.arrays["pixels"].shape == (4, 3, 2, 2)
    assert batch.arrays["pixels"].dtype == np.float32
    for index, picture in enumerate(pictures):
        np.testing.assert_array_equal(batch.own(index, batch.arrays["pixels"], ("batch", 3, 2, 2)), picture)


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=1, max_size=4))
def test_pictures_that_are_padded_keep_their_numbers_and_are_masked(sizes: list[tuple[int, int]]) -> None:
    collator = Stack(pads=True)
    samples = [
        Sample({"pixels": np.ones((3, *size), np.float32), "mask": np.ones(size, np.int64)}, 1) for size in sizes
    ]
    assert len({collator.key(sample) for sample in samples}) == 1
    arrays = collator.collate(samples).arrays
    largest = tuple(map(max, zip(*sizes, strict=True)))
    assert arrays["pixels"].shape == (len(sizes), 3, *largest) and arrays["pixels"].dtype == np.float32
    assert arrays["mask"].shape == (len(sizes), *largest) and arrays["mask"].dtype == np.int64
    for row, (height, width) in enumerate(sizes):
        assert arrays["mask"][row, :height, :width].all() and arrays["mask"][row].sum() == height * width
        assert (arrays["pixels"][row] == arrays["mask"][row]).all()


@pytest.mark.parametrize(
    ("array", "alike"),
    [
        (np.zeros((3, 2, 2), np.float32), True),
        (np.zeros((3, 4, 1), np.float32), False),
        (np.zeros((3, 2, 2), np.float64), False),
    ],
)
def test_only_arrays_of_one_shape_and_dtype_are_stacked(array: np.ndarray, alike: bool) -> None:
    collator = Stack()
    key = collator.key(Sample({"pixels": np.ones((3, 2, 2), np.float32)}, 12))
    assert (collator.key(Sample({"pixels": array}, 12)) == key) is alike


def test_tokens_are_padded_beside_what_is_stacked() -> None:
    collator = Together(PadTokens(NAMES, 0), Stack())
    rows = [
        Sample({**token_sample(ids).arrays, "pixel_values": np.full((3, 2, 2), n, np.float32)}, 9)
        for n, ids in enumerate(([1, 2, 3], [4]))
    ]
    batch = collator.collate(rows)
    assert batch.arrays["input_ids"].tolist() == [[1, 2, 3], [4, 0, 0]]
    assert batch.arrays["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch.arrays["pixel_values"][1].max() == 1 and batch.samples == tuple(rows)
    wide = Sample({**token_sample([1]).arrays, "pixel_values": np.zeros((3, 2, 4), np.float32)}, 9)
    assert collator.key(rows[0]) == collator.key(rows[1]) != collator.key(wide)
