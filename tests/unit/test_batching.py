"""Batches stay in budget, every sample comes back once, in its place, and inputs are read lazily."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxpress.pipelines.batching import Limits, Prepared, ReadAhead, plan, run_samples, stream
from onnxpress.samples import Sample

COSTS = st.lists(st.integers(1, 200), max_size=60)


@given(COSTS, st.integers(1, 600), st.none() | st.integers(1, 8), st.booleans())
def test_plan_uses_every_sample_once_within_its_limits(
    costs: list[int], budget: int, max_samples: int | None, padding: bool
) -> None:
    batches = plan(costs, budget, max_samples, keys=None if padding else costs)
    assert sorted(i for batch in batches for i in batch) == list(range(len(costs)))
    for batch in batches:
        dearest = max(costs[i] for i in batch)
        assert len(batch) == 1 or len(batch) * dearest <= budget
        assert max_samples is None or len(batch) <= max_samples
        assert padding or len({costs[i] for i in batch}) == 1


@given(st.lists(st.tuples(st.integers(1, 9), st.sampled_from("abc")), max_size=60), st.integers(1, 60))
def test_only_samples_of_equal_keys_share_a_batch(samples: list[tuple[int, str]], budget: int) -> None:
    costs, keys = [cost for cost, _ in samples], [key for _, key in samples]
    batches = plan(costs, budget, keys=keys)
    assert sorted(i for batch in batches for i in batch) == list(range(len(samples)))
    assert all(len({keys[i] for i in batch}) == 1 for batch in batches)


def test_equal_costs_of_several_keys_are_not_torn_into_single_samples() -> None:
    assert plan([2] * 6, 100, keys=list("ababab")) == [[0, 2, 4], [1, 3, 5]]


@given(COSTS, st.integers(1, 300))
def test_run_samples_restores_the_order(costs: list[int], budget: int) -> None:
    samples = [Sample({}, cost, number) for number, cost in enumerate(costs)]
    assert run_samples(samples, _run, Limits(budget)) == list(range(len(costs)))


def _prepare(item: int) -> Prepared[int]:
    """An input that becomes `item % 3` samples, so some have none."""
    return Prepared(tuple(Sample({}, 1 + item % 5, item) for _ in range(item % 3)), item)


def _run(samples: Sequence[Sample]) -> list[int]:
    return [sample.context for sample in samples]


def _finish(context: int, values: list[Any]) -> tuple[int, list[int]]:
    return context, list(values)


@given(st.lists(st.integers(0, 50), max_size=200), st.none() | st.integers(1, 4), st.integers(1, 64))
def test_stream_answers_each_item_in_order(items: list[int], max_samples: int | None, budget: int) -> None:
    results = list(stream(iter(items), _prepare, _run, _finish, Limits(budget, max_samples)))
    assert results == [(item, [item] * (item % 3)) for item in items]


def _counting(log: list[int]) -> Iterator[int]:
    for item in range(1, 10_000, 3):  # each gives one sample
        log.append(item)
        yield item


def test_stream_reads_a_little_and_then_more() -> None:
    read: list[int] = []
    results = stream(_counting(read), _prepare, _run, _finish, Limits(64))
    assert read == []
    next(results)
    assert len(read) == 1
    for _ in range(2000):
        next(results)
    assert len(read) <= 2001 + 512


def test_a_window_is_full_when_its_samples_cost_enough() -> None:
    read: list[int] = []
    results = stream(_counting(read), _prepare, _run, _finish, Limits(64), first_window=512, window_cost=20)
    next(results)
    assert sum(1 + item % 5 for item in read[:-1]) < 20 <= sum(1 + item % 5 for item in read)


@given(
    st.lists(st.integers(0, 50), max_size=200), st.none() | st.just(1), st.integers(1, 64), st.integers(1, 40),
    st.integers(1, 4),
)  # fmt: skip
def test_reading_ahead_changes_no_batch(
    items: list[int], max_samples: int | None, first_window: int, window_cost: int, slack: int
) -> None:
    """Inputs with one sample are prepared together where the window surely takes them, whatever the estimate."""
    groups: list[list[int]] = []

    def together(group: Sequence[int]) -> list[Prepared[int]]:
        groups.append(list(group))
        return [_prepare(item) for item in group]

    def foresee(item: int) -> int | None:
        return (1 + item % 5) * slack if item % 3 == 1 else None

    ahead = ReadAhead(foresee, together)
    runs: list[list[list[int]]] = []
    for reads_ahead in (None, ahead):
        batches: list[list[int]] = []

        def run(samples: Sequence[Sample], batches: list[list[int]] = batches) -> list[int]:
            batches.append(_run(samples))
            return batches[-1]

        results = stream(
            iter(items), _prepare, run, _finish, Limits(30, max_samples), first_window=first_window,
            window_cost=window_cost, ahead=reads_ahead,
        )  # fmt: skip
        assert list(results) == [(item, [item] * (item % 3)) for item in items]
        runs.append(batches)
    assert runs[0] == runs[1]
    assert all(item % 3 == 1 for group in groups for item in group)


def test_inputs_of_a_full_window_are_prepared_together() -> None:
    groups: list[int] = []

    def together(group: Sequence[int]) -> list[Prepared[int]]:
        groups.append(len(group))
        return [_prepare(item) for item in group]

    ahead = ReadAhead(lambda item: 5, together)
    list(stream(range(1, 301, 3), _prepare, _run, _finish, Limits(64), first_window=100, ahead=ahead))
    assert groups[0] == 100


def test_of_a_bad_input_and_a_source_that_fails_after_it_the_input_raises() -> None:
    def broken() -> Iterator[int]:
        yield from (1, 4, 7)
        raise ConnectionResetError

    def refuse(group: Sequence[int]) -> list[Prepared[int]]:
        if 4 in group:
            raise ValueError("4 is bad")
        return [_prepare(item) for item in group]

    ahead = ReadAhead(lambda item: 1, refuse)
    with pytest.raises(ValueError, match="4 is bad"):
        next(stream(broken(), _prepare, _run, _finish, Limits(64), first_window=9, ahead=ahead))


def test_stream_of_single_samples_never_reads_ahead() -> None:
    read: list[int] = []
    results = stream(_counting(read), _prepare, _run, _finish, Limits(64, 1))
    for count in range(1, 50):
        next(results)
        assert len(read) == count
