"""Sparse vectors and vectors of tokens: what is kept of them, and how they compare."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from onnxpress.errors import InputError
from onnxpress.format.manifest import EmbeddingSettings, TokenVectors
from onnxpress.pipelines.collators import token_sample
from onnxpress.pipelines.token_roles import as_role, longest
from onnxpress.pipelines.vector_kinds import KINDS, compare, dense_of, max_similarity, sparse_of, strongest

WEIGHTS = arrays(np.float32, 12, elements=st.sampled_from([0, 0, 0, 0.5, 1, 2]))


@given(WEIGHTS)
def test_a_sparse_vector_is_the_dense_one(vector: np.ndarray) -> None:
    sparse = sparse_of(vector)
    assert (sparse["values"] != 0).all() and (np.diff(sparse["indices"]) > 0).all()
    np.testing.assert_array_equal(dense_of(sparse, 12), vector)


@given(WEIGHTS, st.integers(1, 12))
def test_the_largest_numbers_are_kept(vector: np.ndarray, most: int) -> None:
    kept = sparse_of(vector, most)
    assert len(kept["values"]) == min(most, np.count_nonzero(vector))
    assert sorted(kept["values"]) == sorted(np.sort(vector[vector != 0])[::-1][:most])
    assert [weight for _, weight in strongest(kept, None)] == sorted(kept["values"], reverse=True)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=3), st.lists(st.integers(0, 4), min_size=1, max_size=3))
def test_the_best_products_are_summed(queries: list[int], documents: list[int]) -> None:
    random = np.random.default_rng(0)
    first, second = ([random.normal(size=(n, 3)).astype(np.float32) for n in side] for side in (queries, documents))
    scores = max_similarity(first, second, mean=False)
    for i, query in enumerate(first):
        for j, document in enumerate(second):
            best = [max(float(a @ b) for b in document) for a in query] if len(document) else []
            assert scores[i, j] == pytest.approx(sum(best), abs=1e-5)
    means = max_similarity(first, second, mean=True)
    np.testing.assert_allclose(means * np.maximum(queries, 1)[:, None], scores, atol=1e-5)


def test_single_results_and_several_compare() -> None:
    sparse = EmbeddingSettings((), 4, False, similarity="dot", kind="sparse")
    one, other = sparse_of(np.array([0, 1, 0, 2], np.float32)), np.array([1, 1, 1, 1], np.float32)
    assert compare(KINDS["sparse"], one, [one, other], sparse).tolist() == [[5, 3]]
    tokens = EmbeddingSettings((), 2, True, similarity="maxsim", kind="tokens")
    assert compare(KINDS["tokens"], np.eye(2), [np.eye(2), np.zeros((0, 2))], tokens).tolist() == [[2, 0]]


@pytest.mark.parametrize(
    ("kind", "a", "says"),
    [
        ("sparse", [{"indices": [9], "values": [1.0]}], "no sparse vector of 4"),
        ("sparse", [np.ones(3)], r"got an array of shape \(3,\)"),
        ("tokens", [np.ones(3)], r"got an array of shape \(3,\)"),
        ("tokens", "a text", "similarity compares vectors"),
        ("tokens", [np.ones((1, 2)), np.ones((1, 3))], "of different models"),
    ],
)
def test_what_is_no_result_is_refused(kind: str, a: object, says: str) -> None:
    settings = EmbeddingSettings((), 4, False, similarity="dot", kind="dense")
    with pytest.raises(InputError, match=says):
        compare(KINDS[kind], a, a, settings)


def test_queries_are_filled_up_and_documents_leave_tokens_out() -> None:
    settings = TokenVectors(None, 9, expansion_id=7, expansion_length=5, skipped_ids=(3,))
    query = as_role(token_sample([1, 3, 2], [0, 0, 0]), settings, "query")
    assert query.arrays["input_ids"].tolist() == [1, 3, 2, 7, 7] and query.cost == 5
    assert query.arrays["attention_mask"].tolist() == [1, 1, 1, 0, 0] and query.context.all()
    assert query.arrays["token_type_ids"].tolist() == [0] * 5
    for role in ("document", None):
        document = as_role(token_sample([1, 3, 2]), settings, role)
        assert document.arrays["input_ids"].tolist() == [1, 3, 2] and document.context.tolist() == [True, False, True]
    assert [longest(settings, role) for role in ("query", "document", None)] == [5, 9, None]
    assert as_role(token_sample(list(range(8))), settings, "query").cost == 8
