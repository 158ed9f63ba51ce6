"""Sparse encoders and models with a vector for each token, against sentence-transformers."""

from __future__ import annotations

import json
import shutil
import string
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fixtures.tiny import HIDDEN
from tests.parity.texts import SENTENCES

TEXTS = [*SENTENCES[:6], "", "fox", " . , ", "the quick brown fox, " * 40]
TOLERANCE = 1e-5


def _json(path: Path, content: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))


def _copied(checkpoint: Path, folder: Path) -> Path:
    if not folder.exists():
        shutil.copytree(checkpoint, folder, ignore=shutil.ignore_patterns("1_Pooling", "modules.json"))
    return folder


def _modules(folder: Path, *kinds: tuple[str, str]) -> None:
    entries = [{"idx": n, "name": str(n), "path": path, "type": kind} for n, (path, kind) in enumerate(kinds)]
    _json(folder / "modules.json", entries)


def sparse_checkpoint(bare: Path, folder: Path, **pooling: str) -> Path:
    """A masked language model as a SparseEncoder."""
    folder = _copied(bare, folder)
    package = "sentence_transformers.sparse_encoder"
    _modules(folder, ("", f"{package}.models.MLMTransformer"), ("1_SpladePooling", f"{package}.models.SpladePooling"))
    _json(folder / "1_SpladePooling" / "config.json", {"pooling_strategy": "max", **pooling})
    _json(
        folder / "config_sentence_transformers.json",
        {"model_type": "SparseEncoder", "prompts": {"query": "fox ", "document": ""}, "similarity_fn_name": "dot"},
    )
    return folder


def pylate_checkpoint(bare: Path, folder: Path, **settings: Any) -> Path:
    """An encoder as PyLate saves it: Transformer and Dense; what else is done stands in the settings."""
    import torch
    from safetensors.torch import save_file

    folder = _copied(bare, folder)
    _modules(folder, ("", "sentence_transformers.models.Transformer"), ("1_Dense", "pylate.models.Dense.Dense"))
    sizes = {"in_features": HIDDEN, "out_features": 12, "bias": False}
    _json(folder / "1_Dense" / "config.json", {**sizes, "activation_function": "torch.nn.modules.linear.Identity"})
    weights = torch.randn(12, HIDDEN, generator=torch.Generator().manual_seed(0))
    save_file({"linear.weight": weights}, folder / "1_Dense" / "model.safetensors")
    _json(folder / "sentence_bert_config.json", {"max_seq_length": 80, "do_lower_case": False})
    _json(
        folder / "config_sentence_transformers.json",
        {
            "model_type": "ColBERT", "prompts": {}, "similarity_fn_name": "MaxSim", "query_prefix": "the ",
            "document_prefix": "lazy ", "query_length": 16, "document_length": 24, "do_query_expansion": True,
            "attend_to_expansion_tokens": False, "skiplist_words": list(string.punctuation), **settings,
        },
    )  # fmt: skip
    return folder


def _library(name: str, folder: Path) -> Any:
    import sentence_transformers

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(sentence_transformers, name)(str(folder), device="cpu")


def _check_sparse(pipe: Any, theirs: Any) -> None:
    expected = theirs.encode(TEXTS, convert_to_sparse_tensor=False).numpy()
    np.testing.assert_allclose(pipe(TEXTS, sparse=False), expected, atol=TOLERANCE, rtol=TOLERANCE)
    together = pipe.encode(TEXTS)
    for text, vector, row in zip(TEXTS, together, expected, strict=True):
        alone = pipe(text)
        assert alone["indices"].tolist() == vector["indices"].tolist()
        np.testing.assert_allclose(alone["values"], vector["values"], atol=TOLERANCE, rtol=TOLERANCE)
        assert set(vector["indices"]) >= set(np.flatnonzero(row > TOLERANCE).tolist())
    query = theirs.encode_query(["fox"], convert_to_sparse_tensor=False).numpy()
    documents = theirs.encode_document(TEXTS, convert_to_sparse_tensor=False).numpy()
    np.testing.assert_allclose(pipe.score("fox", TEXTS), (query @ documents.T)[0], rtol=1e-4)
    names = [token for token, _ in theirs.decode(theirs.encode(TEXTS[:1]), top_k=5)[0]]
    assert [token for token, _ in pipe.decode(together[0], top_k=5)] == names
    assert len(pipe(TEXTS[0], max_active_dims=4)["indices"]) == 4


def _check_tokens(pipe: Any, theirs: Any) -> None:
    for name in ("encode_query", "encode_document", "encode"):
        obtained = getattr(pipe, name)(TEXTS)
        for text, vectors, expected in zip(TEXTS, obtained, getattr(theirs, name)(TEXTS), strict=True):
            np.testing.assert_allclose(vectors, expected.numpy(), atol=TOLERANCE, rtol=TOLERANCE)
            np.testing.assert_allclose(getattr(pipe, name)(text), vectors, atol=TOLERANCE, rtol=TOLERANCE)
    query, documents = theirs.encode_query(["fox"]), theirs.encode_document(TEXTS)
    scores = pipe.score("fox", TEXTS)
    np.testing.assert_allclose(scores, theirs.similarity(query, documents)[0].numpy(), atol=1e-4)
    compared = pipe({"source_sentence": TEXTS[0], "sentences": TEXTS[1:3]}, role="document")
    first, *others = pipe(TEXTS[:3], role="document")
    np.testing.assert_allclose(compared, pipe.similarity(first, others)[0], rtol=1e-6)


def test_sparse_vectors(tiny: Callable[..., Path], shared: Path, ours: Callable[..., Any]) -> None:
    folder = sparse_checkpoint(tiny("bert", "fill-mask", num_hidden_layers=1), shared / "splade")
    _check_sparse(ours(folder, "sentence-similarity"), _library("SparseEncoder", folder))


def test_vectors_of_tokens(tiny: Callable[..., Path], shared: Path, ours: Callable[..., Any]) -> None:
    folder = pylate_checkpoint(tiny("bert", "feature-extraction", num_hidden_layers=1), shared / "colbert")
    _check_tokens(ours(folder, "sentence-similarity"), _library("MultiVectorEncoder", folder))


@pytest.mark.nightly
@pytest.mark.parametrize("pooling", [{}, {"pooling_strategy": "sum", "activation_function": "log1p_relu"}])
@pytest.mark.parametrize("architecture", ["distilbert", "roberta", "modernbert", "albert"])
def test_sparse_vectors_of_many(
    tiny: Callable[..., Path], tmp_path: Path, ours: Callable[..., Any], architecture: str, pooling: dict[str, str]
) -> None:
    folder = sparse_checkpoint(tiny(architecture, "fill-mask"), tmp_path / "splade", **pooling)
    _check_sparse(ours(folder, "sentence-similarity"), _library("SparseEncoder", folder))


@pytest.mark.nightly
@pytest.mark.parametrize(
    "settings",
    [{"attend_to_expansion_tokens": True}, {"do_query_expansion": False}, {"skiplist_words": [], "query_length": 9}],
)
@pytest.mark.parametrize("architecture", ["distilbert", "roberta", "modernbert"])
def test_vectors_of_tokens_of_many(
    tiny: Callable[..., Path], tmp_path: Path, ours: Callable[..., Any], architecture: str, settings: dict[str, Any]
) -> None:
    folder = pylate_checkpoint(tiny(architecture, "feature-extraction"), tmp_path / "colbert", **settings)
    _check_tokens(ours(folder, "sentence-similarity"), _library("MultiVectorEncoder", folder))
