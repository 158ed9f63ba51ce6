"""What is one input, and what is many."""

from __future__ import annotations

from collections import UserList, deque
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas
import pyarrow
import pytest

from onnxpress.pipelines.inputs import is_array, is_stream, items_of, listed


class Picture:
    """As Pillow's: its array is made when it is asked for, which costs what the picture is large."""

    @property
    def __array_interface__(self) -> dict[str, Any]:
        raise AssertionError("nobody wants the pixels yet")


class Tensor:
    """As PyTorch's."""

    def __dlpack__(self) -> object:
        raise AssertionError("nobody wants the numbers yet")

    def __iter__(self) -> Iterator[int]:
        raise AssertionError("a tensor is one input")


class ByIndex:
    """A dataset that has a length and items, and is not to be asked beyond them."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> str:
        assert index < 3
        return "abc"[index]


def generator() -> Iterator[str]:
    yield "a"


SINGLE = ["text", b"bytes", bytearray(b"bytes"), memoryview(b"bytes"), {"text": "a"}, np.zeros(3), np.array(["a", "b"]),
          np.float32(1), Picture(), Tensor(), None, 3]  # fmt: skip


@pytest.mark.parametrize("value", SINGLE, ids=lambda value: type(value).__name__)
def test_one_input(value: object) -> None:
    assert not is_stream(value)
    assert not isinstance(value, (list, tuple))


@pytest.mark.parametrize("value", [generator(), iter(["a"]), ByIndex(), {"a"}, range(3), map(str, [1])], ids=type)
def test_many_inputs_that_come_lazily(value: object) -> None:
    assert is_stream(value)


@pytest.mark.parametrize("value", [["a"], ("a",)])
def test_a_list_is_there_at_once(value: object) -> None:
    assert not is_stream(value)


def test_a_dataset_is_read_by_index_up_to_its_length() -> None:
    assert list(items_of(ByIndex())) == ["a", "b", "c"]


def test_arrays_and_pictures_are_told_by_their_type() -> None:
    assert [is_array(value) for value in (Picture(), Tensor(), np.zeros(2), "a", [1], b"x")] == [True] * 3 + [False] * 3


TEXTS = ["a", "b"]
MANY = [TEXTS, ("a", "b"), np.array(TEXTS), np.array(TEXTS, dtype=object), pandas.Series(TEXTS), pandas.Index(TEXTS),
        pandas.Series(TEXTS, dtype=object), pyarrow.array(TEXTS), pyarrow.chunked_array([["a"], ["b"]]),
        UserList(TEXTS), deque(TEXTS)]  # fmt: skip


@pytest.mark.parametrize("value", MANY, ids=lambda value: type(value).__name__)
def test_columns_and_arrays_of_texts_are_lists(value: Any) -> None:
    inputs = listed(value)
    assert isinstance(inputs, (list, tuple))
    assert list(inputs) == TEXTS
    assert all(isinstance(text, str) for text in inputs)


def test_a_column_of_a_dataset_is_a_list() -> None:
    import datasets

    assert listed(datasets.Dataset.from_dict({"text": TEXTS})["text"]) == TEXTS


@pytest.mark.parametrize(
    "value",
    ["text", {"text": "a"}, np.zeros(3), np.array([TEXTS]), Picture(), Tensor(), generator(), ByIndex()],
    ids=type,
)
def test_what_is_no_column_stays_as_it_is(value: Any) -> None:
    assert listed(value) is value


def test_an_array_without_axes_is_its_text() -> None:
    assert listed(np.array("a")) == "a"
