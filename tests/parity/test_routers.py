"""Routers of sentence-transformers: queries and documents by modules of their own, against the library."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.source.checkpoint import open_checkpoint
from onnxpress_exporter.source.modules import query_modules, sentence_modules
from onnxpress_exporter.source.routers import read_router
from onnxpress_exporter.tasks.loading import suited_row
from tests.fixtures.tiny import HIDDEN
from tests.parity.texts import SENTENCES

TEXTS = [*SENTENCES[:6], "", "fox fox fox", " . , ", "the quick brown fox, " * 40]
TOLERANCE = 1e-5
PROMPTS = {"query": "fox ", "document": ""}


def _random(*shape: int, seed: int = 0) -> Any:
    import torch

    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def sparse_router(masked: Path, folder: Path, **parameters: Any) -> Path:
    """Inference-free SPLADE as the library saves it: weights of tokens for queries, a transformer for documents."""
    from sentence_transformers import SparseEncoder
    from sentence_transformers.base.modules import Router
    from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding, SpladePooling, Transformer

    documents = Transformer(str(masked), transformer_task="fill-mask")
    weights = _random(documents.model.get_output_embeddings().weight.shape[0]).abs()
    queries = SparseStaticEmbedding(tokenizer=documents.tokenizer, weight=weights, frozen=True)
    router = Router.for_query_document([queries], [documents, SpladePooling("max")], **parameters)
    SparseEncoder(modules=[router], similarity_fn_name="dot", prompts=dict(PROMPTS)).save(str(folder))
    return folder


def dense_router(bare: Path, folder: Path, query: str, *, default: str | None = "document") -> Path:
    """Documents by a transformer; queries by a table of tokens, or by a transformer and a layer after it."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Router
    from sentence_transformers.sentence_transformer.modules import (
        Dense,
        Normalize,
        Pooling,
        StaticEmbedding,
        Transformer,
    )

    documents, other = Transformer(str(bare)), Transformer(str(bare))
    if query == "static":
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(bare / "tokenizer.json"))
        size = tokenizer.get_vocab_size()
        queries: list[Any] = [StaticEmbedding(tokenizer, embedding_weights=_random(size, HIDDEN).numpy())]
    else:
        layer = Dense(HIDDEN, HIDDEN)
        layer.linear.weight.data = _random(HIDDEN, HIDDEN) / HIDDEN**0.5
        queries = [other, Pooling(HIDDEN, query), layer]
    router = Router.for_query_document(queries, [documents, Pooling(HIDDEN, "cls")], default_route=default)
    SentenceTransformer(modules=[router, Normalize()], prompts=dict(PROMPTS)).save(str(folder))
    return folder


def _library(name: str, folder: Path) -> Any:
    import sentence_transformers

    return getattr(sentence_transformers, name)(str(folder), device="cpu")


def _quietly(make: Callable[..., Path], *arguments: Any, **options: Any) -> Path:
    folder: Path = arguments[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return folder if folder.exists() else make(*arguments, **options)


def _check_dense(pipe: Any, theirs: Any) -> None:
    for name in ("encode", "encode_query", "encode_document"):
        obtained, expected = getattr(pipe, name)(TEXTS), getattr(theirs, name)(TEXTS)
        np.testing.assert_allclose(obtained, expected, atol=TOLERANCE, rtol=TOLERANCE)
        alone = np.stack([getattr(pipe, name)(text) for text in TEXTS])
        np.testing.assert_allclose(alone, obtained, atol=TOLERANCE, rtol=TOLERANCE)
    scores = theirs.similarity(theirs.encode_query(["fox"]), theirs.encode_document(TEXTS))[0].numpy()
    np.testing.assert_allclose(pipe.score("fox", TEXTS), scores, atol=1e-4)


def test_queries_are_weighed_without_a_model(tiny: Callable[..., Path], shared: Path, ours: Callable[..., Any]) -> None:
    folder = _quietly(sparse_router, tiny("bert", "fill-mask"), shared / "sparse-router")
    pipe, theirs = ours(folder, "sentence-similarity"), _library("SparseEncoder", folder)
    for name in ("encode", "encode_query", "encode_document"):
        expected = getattr(theirs, name)(TEXTS, convert_to_sparse_tensor=False).numpy()
        obtained = getattr(pipe, name)(TEXTS, sparse=False)
        np.testing.assert_allclose(obtained, expected, atol=TOLERANCE, rtol=TOLERANCE)
        for text, row in zip(TEXTS, expected, strict=True):
            vector = getattr(pipe, name)(text)
            assert set(vector["indices"]) >= set(np.flatnonzero(row > TOLERANCE).tolist())
    expected = theirs.similarity(theirs.encode_query(["the fox"]), theirs.encode_document(TEXTS))[0].numpy()
    np.testing.assert_allclose(pipe.score("the fox", TEXTS), expected, rtol=1e-4)
    assert len(pipe.encode_query("", prompt="")["indices"]) == 0


@pytest.mark.parametrize("query", ["static", "mean"])
def test_queries_of_dense_vectors(
    tiny: Callable[..., Path], shared: Path, ours: Callable[..., Any], query: str
) -> None:
    folder = _quietly(dense_router, tiny("bert", "feature-extraction"), shared / f"router-{query}", query)
    _check_dense(ours(folder, "sentence-similarity"), _library("SentenceTransformer", folder))


@pytest.mark.nightly
@pytest.mark.parametrize("architecture", ["distilbert", "modernbert", "roberta"])
@pytest.mark.parametrize("query", ["static", "max", "cls"])
def test_queries_of_many(
    tiny: Callable[..., Path], tmp_path: Path, ours: Callable[..., Any], architecture: str, query: str
) -> None:
    folder = _quietly(
        dense_router, tiny(architecture, "feature-extraction"), tmp_path / "router", query, default="query"
    )
    _check_dense(ours(folder, "sentence-similarity"), _library("SentenceTransformer", folder))


def _written(folder: Path, **parameters: Any) -> Path:
    folder.mkdir()
    routes = {"query": ["q"], "document": ["d", "p"]}
    package = "sentence_transformers.models"
    types = {"q": f"{package}.StaticEmbedding", "d": f"{package}.Transformer", "p": f"{package}.Pooling"}
    content = {"types": types, "structure": routes, "parameters": {"default_route": "document", **parameters}}
    (folder / "router_config.json").write_text(json.dumps(content))
    modules = [{"idx": 0, "name": "0", "path": "", "type": f"{package}.Router"}]
    (folder / "modules.json").write_text(json.dumps(modules))
    return folder


def test_routes_are_chosen_as_the_library_does(tmp_path: Path) -> None:
    folder = _written(tmp_path / "a")
    assert [module.kind for module in sentence_modules(folder)] == ["Transformer", "Pooling"]
    assert [module.kind for module in query_modules(folder)] == ["StaticEmbedding"]
    assert not read_router(folder).queries_usual
    turned = _written(tmp_path / "b", route_mappings={"('query', 'text')": "document", "('document', None)": "query"})
    assert [module.kind for module in query_modules(turned)] == ["Transformer", "Pooling"]
    assert read_router(_written(tmp_path / "c", default_route=None)).queries_usual  # the first of the routes


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"route_mappings": {"open('x')": "query"}}, "is no role and kind"),
        ({"route_mappings": {"(None, 'text')": "query", "('document', 'text')": "query"}}, "the route 'document'"),
        ({"default_route": None, "allow_empty_key": False}, "no route for a text without a role"),
        ({"another": 1}, "has the field 'another'"),
    ],
)
def test_what_is_not_understood_is_refused(tmp_path: Path, parameters: dict[str, Any], reason: str) -> None:
    with pytest.raises(UnsupportedCheckpoint, match=reason):
        read_router(_written(tmp_path / "router", **parameters))


def test_a_folder_outside_is_refused(tmp_path: Path) -> None:
    folder = _written(tmp_path / "router")
    content = json.loads((folder / "router_config.json").read_text().replace('"q"', '"../q"'))
    (folder / "router_config.json").write_text(json.dumps(content))
    with pytest.raises(UnsupportedCheckpoint, match="outside its own"):
        read_router(folder)


def test_another_tokenizer_for_queries_is_refused(tiny: Callable[..., Path], tmp_path: Path) -> None:
    folder = _quietly(dense_router, tiny("bert", "feature-extraction"), tmp_path / "router", "static")
    (place,) = folder.glob("query_*")
    tokenizer = json.loads((place / "tokenizer.json").read_text())
    tokenizer["normalizer"] = None
    (place / "tokenizer.json").write_text(json.dumps(tokenizer))
    checkpoint = open_checkpoint(folder)
    row = suited_row("sentence-similarity", checkpoint)
    from onnxpress_exporter.tasks.loading import load_model

    model = load_model(checkpoint, "sentence-similarity")
    with pytest.raises(UnsupportedCheckpoint, match="another tokenizer"):
        row.postprocessing(checkpoint, model)
