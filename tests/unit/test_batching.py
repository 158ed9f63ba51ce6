"""Batches stay in budget, and every sample comes back once, in its place."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxpress.format.manifest import TensorInfo
from onnxpress.pipelines.batching import Limits, budget_of, plan, run_samples
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


def _run(samples: Sequence[Sample]) -> list[int]:
    return [sample.context for sample in samples]


@pytest.mark.parametrize(
    ("axes", "dtype", "budget"),
    [
        (("batch", "sequence", 768), "float32", 16_384),  # hidden states
        (("batch", "sequence", 250_002), "float32", 134),  # scores of a vocabulary
        (("batch", "sequence", 250_002), "float16", 268),
        (("batch", 250_002), "float32", 16_384),  # one row for a sample
        (("batch", "sequence", "vocabulary"), "float32", 16_384),  # not known
        (("batch", "sequence", 10**9), "float32", 1),
    ],
)
def test_a_batch_is_as_large_as_what_it_gives(axes: tuple[str | int, ...], dtype: str, budget: int) -> None:
    assert budget_of(16_384, [TensorInfo("logits", dtype, axes)], {"sequence"}) == budget
    assert budget_of(16, [TensorInfo("logits", dtype, axes)], {"sequence"}) == min(budget, 16)


def test_outputs_share_the_memory() -> None:
    scores = TensorInfo("scores", "float32", ("batch", "sequence", 2**20))
    assert budget_of(999, [scores], {"sequence"}) == 2 * budget_of(999, [scores, scores], {"sequence"}) == 32
