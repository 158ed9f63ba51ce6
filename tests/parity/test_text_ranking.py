"""text-ranking against sentence-transformers' CrossEncoder."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import onnxpress
from onnxpress import ArtifactError, InputError
from tests.parity.alike import assert_alike, assert_json
from tests.parity.texts import SENTENCES, parity, texts

TASK = "text-ranking"
LONG = "the quick brown fox jumps over the lazy dog " * 40
QUERY = "where is the capital city of france"
DOCUMENTS = [*SENTENCES, "", "paris", LONG, QUERY, "  the fox  "]
IDENTITY = {"activation_fn": "torch.nn.modules.linear.Identity"}


@cache
def cross_encoder(checkpoint: Path) -> Any:
    from sentence_transformers import CrossEncoder

    return CrossEncoder(str(checkpoint), device="cpu")


def expected_scores(checkpoint: Path, query: str, documents: list[str]) -> list[float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scores: list[float] = cross_encoder(checkpoint).predict([(query, text) for text in documents]).tolist()
    return scores


def assert_ranks(result: Any, scores: list[float]) -> None:
    """Every document once, best first, equal scores in document order, and the scores are `scores`."""
    assert [list(entry) for entry in result] == [["index", "score"]] * len(scores)
    assert sorted(entry["index"] for entry in result) == list(range(len(scores)))
    assert result == sorted(result, key=lambda entry: (-entry["score"], entry["index"]))
    assert [entry["score"] for entry in sorted(result, key=lambda entry: entry["index"])] == pytest.approx(
        scores, abs=1e-4
    )
    assert_json(result)


@pytest.mark.parametrize("architecture", ["bert", "xlm_roberta"])
def test_scores(architecture: str, tiny: Callable[..., Path], ours: Callable[..., Any]) -> None:
    checkpoint = tiny(architecture, TASK)
    result = ours(checkpoint, TASK)(query=QUERY, documents=DOCUMENTS)
    assert_ranks(result, expected_scores(checkpoint, QUERY, DOCUMENTS))


def test_query_beyond_the_limit(tiny: Callable[..., Path], ours: Callable[..., Any]) -> None:
    checkpoint = tiny("bert", TASK)
    result = ours(checkpoint, TASK)(query=LONG, documents=DOCUMENTS)
    assert_ranks(result, expected_scores(checkpoint, LONG, DOCUMENTS))


@pytest.fixture(scope="module")
def pipe(tiny: Callable[..., Path], ours: Callable[..., Any]) -> Any:
    return ours(tiny("bert", TASK), TASK)


def test_forms_of_call(pipe: Any) -> None:
    one, two = pipe(query=QUERY, documents=DOCUMENTS), pipe(query="fox", documents=["a", "the fox"])
    assert pipe(QUERY, DOCUMENTS) == one
    assert_alike(pipe(QUERY, tuple(DOCUMENTS)), one)
    both = [{"query": QUERY, "documents": DOCUMENTS}, {"query": "fox", "documents": ["a", "the fox"]}]
    assert_alike(pipe(both[0]), one, tolerance=1e-6)
    for result in (
        pipe(query=[QUERY, "fox"], documents=[DOCUMENTS, ["a", "the fox"]]),
        pipe(both),
        list(pipe(iter(both))),
    ):
        assert_alike(result, [one, two], tolerance=1e-5)


def test_top_k(pipe: Any) -> None:
    whole = pipe(QUERY, DOCUMENTS)
    for k in (0, 1, 3, 1000):
        assert pipe(QUERY, DOCUMENTS, top_k=k) == whole[:k]
    assert pipe(QUERY, []) == []
    assert pipe([], []) == []


def test_equal_documents_keep_their_order(pipe: Any) -> None:
    assert [entry["index"] for entry in pipe(QUERY, ["the fox"] * 7)] == list(range(7))


def test_max_length_cuts_shorter(pipe: Any) -> None:
    assert pipe("fox", ["the fox jumps over"], max_length=6) == pipe("fox", ["the fox"], max_length=6)


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ((QUERY,), {}),
        ((QUERY, "one text"), {}),
        ((QUERY, [1]), {}),
        ((QUERY, 3), {}),
        ((None, ["a"]), {}),
        (([QUERY], ["a"]), {}),
        (([QUERY, QUERY], [["a"]]), {}),
        (({"query": QUERY},), {}),
        (([QUERY],), {}),
        ((QUERY, ["a"]), {"top_k": -1}),
        ((QUERY, ["a"]), {"top_k": 1.5}),
        ((QUERY, ["a"]), {"function_to_apply": "softmax"}),
        ((QUERY, ["a"]), {"function_to_apply": "tanh"}),
        ((QUERY, ["a"]), {"max_length": 2}),
        ((QUERY, ["a"]), {"max_length": "9"}),
        ((), {"documents": ["a"]}),
        ((), {}),
        ((QUERY, ["a"]), {"return_documents": True}),
    ],
)
def test_wrong_calls(pipe: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        pipe(*arguments, **options)


def test_a_model_with_several_scores_is_refused(tiny: Callable[..., Path], exported: Callable[..., Any]) -> None:
    artifact = exported(tiny("bert", "text-classification"), "text-classification")
    with pytest.raises(ArtifactError, match="3 scores"):
        onnxpress.pipeline(TASK, artifact)


def test_trained(trained: Callable[[str], Path], ours: Callable[..., Any]) -> None:
    checkpoint = trained("tiny-reranker")
    pipe = ours(checkpoint, TASK)

    @parity
    @given(query=texts(max_parts=4), documents=st.lists(texts(), min_size=1, max_size=4))
    def check(query: str, documents: list[str]) -> None:
        assert_ranks(pipe(query, documents), expected_scores(checkpoint, query, documents))

    check()
