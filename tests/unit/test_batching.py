"""Batches stay in budget, every row comes back once, in its place, and inputs are read lazily."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxpress.errors import InputError
from onnxpress.pipelines.batching import Request, Row, pad, plan, run_rows, stream

LENGTHS = st.lists(st.integers(1, 200), max_size=60)


@given(LENGTHS, st.integers(1, 600), st.none() | st.integers(1, 8), st.booleans())
def test_plan_uses_every_row_once_within_its_limits(
    lengths: list[int], budget: int, max_rows: int | None, padding: bool
) -> None:
    batches = plan(lengths, budget, max_rows, padding=padding)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        width = max(lengths[i] for i in batch)
        assert len(batch) == 1 or len(batch) * width <= budget
        assert max_rows is None or len(batch) <= max_rows
        assert padding or len({lengths[i] for i in batch}) == 1


@given(st.lists(st.lists(st.integers(1, 99), min_size=1, max_size=7), min_size=1, max_size=6), st.booleans())
def test_pad_keeps_every_token_and_masks_the_rest(ids: list[list[int]], left: bool) -> None:
    batch = pad(
        [Row(row) for row in ids],
        names=["input_ids", "attention_mask", "token_type_ids"],
        pad_id=0,
        pad_type_id=3,
        side="left" if left else "right",
    )
    for index, row in enumerate(ids):
        span = batch.span(index)
        assert batch.arrays["input_ids"][index, span].tolist() == row
        assert batch.arrays["attention_mask"][index].sum() == len(row)
        assert (batch.arrays["attention_mask"][index, span] == 1).all()
        assert (np.delete(batch.arrays["token_type_ids"][index], span) == 3).all()
    assert all(array.dtype == np.int64 for array in batch.arrays.values())


def test_pad_gives_only_what_the_graph_takes() -> None:
    assert set(pad([Row([1])], names=["input_ids"], pad_id=0).arrays) == {"input_ids"}


@given(LENGTHS, st.integers(1, 300))
def test_run_rows_restores_the_order(lengths: list[int], budget: int) -> None:
    rows = [Row([0] * length, context=i) for i, length in enumerate(lengths)]
    assert run_rows(rows, lambda batch: [row.context for row in batch], budget_tokens=budget) == list(
        range(len(lengths))
    )


def _prepare(item: int) -> Request[int]:
    """An input that becomes `item % 3` rows, so some have none."""
    return Request(tuple(Row([1] * (1 + item % 5), context=item) for _ in range(item % 3)), item)


def _run(rows: Sequence[Row]) -> list[int]:
    return [row.context for row in rows]


def _finish(context: int, values: list[Any]) -> tuple[int, list[int]]:
    return context, list(values)


@given(st.lists(st.integers(0, 50), max_size=200), st.none() | st.integers(1, 4), st.integers(1, 64))
def test_stream_answers_each_item_in_order(items: list[int], max_rows: int | None, budget: int) -> None:
    results = list(stream(iter(items), _prepare, _run, _finish, budget_tokens=budget, max_rows=max_rows))
    assert results == [(item, [item] * (item % 3)) for item in items]


def _counting(log: list[int]) -> Iterator[int]:
    for item in range(1, 10_000, 3):  # each gives one row
        log.append(item)
        yield item


def test_stream_reads_a_little_and_then_more() -> None:
    read: list[int] = []
    results = stream(_counting(read), _prepare, _run, _finish, budget_tokens=64)
    assert read == []
    next(results)
    assert len(read) == 1
    for _ in range(2000):
        next(results)
    assert len(read) <= 2001 + 512


def test_stream_of_single_rows_never_reads_ahead() -> None:
    read: list[int] = []
    results = stream(_counting(read), _prepare, _run, _finish, budget_tokens=64, max_rows=1)
    for count in range(1, 50):
        next(results)
        assert len(read) == count


def test_a_row_without_tokens_is_refused() -> None:
    with pytest.raises(InputError, match="no tokens"):
        list(stream([0], lambda _: Request((Row([]),), None), _run, _finish, budget_tokens=8))
