"""sentence-transformers' names give sentence-transformers' numbers."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import onnxpress
from onnxpress import InputError
from tests.conftest import MODELS

TEXTS = ["a red car", "the weather is nice", "un chat"]


@pytest.fixture(scope="module")
def embedders(exported: Callable[..., Any]) -> tuple[Any, Any]:
    from sentence_transformers import SentenceTransformer

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = SentenceTransformer(str(MODELS / "tiny-embedder"), device="cpu")
    return onnxpress.pipeline(model=exported(MODELS / "tiny-embedder"), threads=1), theirs


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"batch_size": 2, "show_progress_bar": False, "convert_to_numpy": True},
        {"normalize_embeddings": True},
        {"truncate_dim": 16, "normalize_embeddings": True},
        {"prompt": "search: "},
        {"precision": "ubinary"},
        {"precision": "binary"},
    ],
    ids=str,
)
def test_encode(embedders: Any, options: dict[str, Any]) -> None:
    ours, theirs = embedders
    for inputs in (TEXTS, TEXTS[0]):
        expected, result = theirs.encode(inputs, **options), ours.encode(inputs, **options)
        assert (result.shape, result.dtype) == (expected.shape, expected.dtype)
        assert np.allclose(result, expected, atol=1e-4)


def test_queries_documents_and_similarities(embedders: Any) -> None:
    ours, theirs = embedders
    queries, documents = ours.encode_query(TEXTS[:2]), ours.encode_document(TEXTS)
    assert np.allclose(queries, theirs.encode_query(TEXTS[:2]), atol=1e-4)
    assert np.allclose(documents, theirs.encode_document(TEXTS), atol=1e-4)
    assert np.allclose(ours.similarity(queries, documents), theirs.similarity(queries, documents), atol=1e-4)
    pairs = theirs.similarity_pairwise(documents[:2], queries)
    assert np.allclose(ours.similarity_pairwise(documents[:2], queries), pairs, atol=1e-4)
    assert ours.get_sentence_embedding_dimension() == theirs.get_embedding_dimension()
    assert (ours.max_seq_length, dict(ours.prompts)) == (theirs.max_seq_length, theirs.prompts)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"convert_to_tensor": True}, r"torch.from_numpy"),
        ({"convert_to_numpy": False}, r"torch.from_numpy"),
        ({"output_value": "token_embeddings"}, "last_hidden_state"),
        ({"precision": "int8"}, "quantize_embeddings"),
        ({"pool": {"processes": []}}, "one process"),
        ({"device": "cuda:3"}, r"pass device= to onnxpress.pipeline"),
        ({"nonsense": 1}, "no argument 'nonsense'"),
    ],
    ids=str,
)
def test_what_is_not_here_is_told(embedders: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        embedders[0].encode(TEXTS, **options)


def test_cross_encoders(exported: Callable[..., Any]) -> None:
    import torch
    from sentence_transformers import CrossEncoder

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = CrossEncoder(str(MODELS / "tiny-reranker"), device="cpu")
    ours = onnxpress.pipeline("text-ranking", exported(MODELS / "tiny-reranker"), threads=1)
    pairs = [("what is red?", text) for text in TEXTS]
    assert np.allclose(ours.predict(pairs), theirs.predict(pairs), atol=1e-4)
    assert ours.predict(pairs).dtype == theirs.predict(pairs).dtype
    assert np.allclose(ours.predict(pairs[0]), theirs.predict(pairs[0]), atol=1e-4)
    for function in (torch.nn.Identity(), torch.nn.Sigmoid()):
        expected = theirs.predict(pairs, activation_fn=function)
        assert np.allclose(ours.predict(pairs, activation_fn=function), expected, atol=1e-4)
    assert (ours.num_labels, ours.max_length) == (theirs.num_labels, theirs.max_seq_length)
    ranked: list[dict[str, Any]] = [
        {}, {"top_k": 2}, {"top_k": 9}, {"return_documents": True}, {"batch_size": 1, "show_progress_bar": False},
        {"activation_fn": torch.nn.Identity()}, {"prompt": "find: "},
        {"device": "cpu", "pool": None, "chunk_size": None},
    ]  # fmt: skip
    for options in ranked:
        expected, result = theirs.rank("what is red?", TEXTS, **options), ours.rank("what is red?", TEXTS, **options)
        assert [{**item, "score": 0} for item in result] == [{**item, "score": 0} for item in expected]
        assert np.allclose([item["score"] for item in result], [item["score"] for item in expected], atol=1e-4)
    assert ours.predict([]).shape == (0,)
    for inputs, message in (([("a",)], "pairs of texts"), (["ab", "cd", "ef"], "pairs of texts")):
        with pytest.raises(InputError, match=message):
            ours.predict(inputs)
    with pytest.raises(InputError, match="Sigmoid, Softmax and Identity"):
        ours.predict(pairs, activation_fn=torch.nn.Tanh())


def test_cross_encoders_of_several_labels(exported: Callable[..., Any]) -> None:
    import torch
    from sentence_transformers import CrossEncoder

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = CrossEncoder(str(MODELS / "tiny-nli"), device="cpu")
    ours = onnxpress.pipeline("text-classification", exported(MODELS / "tiny-nli"), threads=1)
    pairs = [("a man sleeps", text) for text in TEXTS]
    calls: list[dict[str, Any]] = [
        {}, {"apply_softmax": True}, {"activation_fn": torch.nn.Sigmoid()}, {"activation_fn": torch.nn.Identity()},
        {"batch_size": 2, "show_progress_bar": False, "convert_to_numpy": True},
    ]  # fmt: skip
    for options in calls:
        for inputs in (pairs, pairs[0]):
            expected, result = theirs.predict(inputs, **options), ours.predict(inputs, **options)
            assert (result.shape, result.dtype) == (expected.shape, expected.dtype)
            assert np.allclose(result, expected, atol=1e-4)
    assert ours.predict([]).shape == (0, 3)
    with pytest.raises(InputError, match="call the pipeline itself"):
        ours.predict(["a text", "another", "a third"])
    with pytest.raises(InputError, match=r"torch.from_numpy"):
        ours.predict(pairs, convert_to_tensor=True)


@pytest.mark.parametrize("kind", ["SentenceTransformer", "CrossEncoder"])
def test_every_name_is_there_or_told(kind: str) -> None:
    """Their public names, less those of a PyTorch module."""
    import sentence_transformers
    import torch

    from onnxpress.pipelines.known_names import OF_CROSS_ENCODERS, OF_EMBEDDERS
    from onnxpress.pipelines.sentence_similarity import SentenceSimilarity
    from onnxpress.pipelines.text_ranking import TextRanking

    theirs = set(dir(getattr(sentence_transformers, kind))) - set(dir(torch.nn.Sequential))
    ours, told = {
        "SentenceTransformer": (SentenceSimilarity, OF_EMBEDDERS),
        "CrossEncoder": (TextRanking, OF_CROSS_ENCODERS),
    }[kind]
    from onnxpress.pipelines.known_names import OF_PIPELINES

    public = {name for name in theirs if not name.startswith("_")}
    assert public - set(dir(ours)) - {*told, *OF_PIPELINES, "processor"} == set()  # of an instance
    assert not set(told) & set(dir(ours)), "a name that is there is told as absent"


def test_a_name_that_is_not_there_is_told(embedders: Any) -> None:
    ours, theirs = embedders
    assert ours.similarity_fn_name == theirs.similarity_fn_name
    assert ours.get_max_seq_length() == theirs.get_max_seq_length()
    for name, message in (
        ("start_multi_process_pool", "one process runs on all its cores"),
        ("fit", "nothing is trained here"),
        ("feature_extractor", "says how inputs become arrays"),
        ("nonsense", "has no 'nonsense'"),
    ):
        with pytest.raises(AttributeError, match=message):
            getattr(ours, name)
        assert not hasattr(ours, name)
