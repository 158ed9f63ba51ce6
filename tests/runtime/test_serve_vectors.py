"""A server of models that give several vectors of a text, or read queries apart: over real sockets."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

import onnxpress

for needed in ("uvicorn", "httptools", "orjson", "prometheus_client"):
    pytest.importorskip(needed)

from tests.fixtures.embedder import write_routed_embedder, write_several_embedder  # noqa: E402
from tests.fixtures.serving import RunningServer  # noqa: E402


def test_all_kinds_of_vectors_come_from_one_pass(tmp_path: Path) -> None:
    artifact = write_several_embedder(tmp_path / "several")
    asked = {"input": ["good film", "bad bad"], "kinds": ["dense", "sparse", "tokens"]}
    with RunningServer({"several": artifact}) as running, onnxpress.pipeline(model=artifact) as pipe:
        running.wait()
        runs: list[str] = []
        session = running.app.service.registry.named("several").version.main.session
        with patch.object(type(session), "run", _counting(type(session).run, runs)):
            entries = running.post("/v1/embeddings", asked).json["data"]
        assert runs == ["model"]
        for text, entry in zip(asked["input"], entries, strict=True):
            expected = pipe(text, kinds=asked["kinds"])
            np.testing.assert_allclose(entry["embedding"], expected["dense"], rtol=1e-6)
            assert entry["sparse"]["indices"] == expected["sparse"]["indices"].tolist()
            np.testing.assert_allclose(entry["sparse"]["values"], expected["sparse"]["values"], rtol=1e-6)
            np.testing.assert_allclose(entry["tokens"], expected["tokens"], rtol=1e-6)
        (packed, *_) = running.post("/v1/embeddings", {**asked, "encoding_format": "base64"}).json["data"]
        rows = [np.frombuffer(base64.b64decode(row), "<f4") for row in packed["tokens"]]
        np.testing.assert_allclose(rows, entries[0]["tokens"], rtol=1e-6)
        (plain,) = running.post("/v1/embeddings", {"input": "good film"}).json["data"]
        assert set(plain) == {"object", "index", "embedding"} and plain["embedding"] == entries[0]["embedding"]
        (only,) = running.post("/v1/embeddings", {"input": "good film", "kinds": ["tokens"]}).json["data"]
        assert only["embedding"] == [] and only["tokens"] == entries[0]["tokens"]
        (weights,) = running.post("/embed_sparse", {"inputs": "good film"}).json
        assert [weight["index"] for weight in weights] == entries[0]["sparse"]["indices"]
        assert running.post("/embed", {"inputs": "good film", "kinds": ["sparse"]}).json == [entries[0]["embedding"]]
        of_hub = running.post("/models/several", {"inputs": ["good film"], "kinds": ["sparse", "tokens"]}).json
        assert of_hub == [{name: entries[0][name] for name in ("sparse", "tokens")}]
        for wrong in (["colours"], [], "dense", [1]):
            assert running.post("/v1/embeddings", {"input": "a", "kinds": wrong}).status in (400, 422)


def test_queries_are_read_by_a_graph_of_their_own(tmp_path: Path) -> None:
    artifact = write_routed_embedder(tmp_path / "routed")
    with RunningServer({"routed": artifact}) as running, onnxpress.pipeline(model=artifact) as pipe:
        for role, encode in (("query", pipe.encode_query), ("document", pipe.encode_document)):
            entries = running.post("/v1/embeddings", {"input": ["good film", "bad"], "role": role}).json["data"]
            np.testing.assert_allclose(
                [entry["embedding"] for entry in entries], encode(["good film", "bad"]), rtol=1e-6
            )
        np.testing.assert_allclose(pipe("good film"), pipe.encode_document("good film"))
        assert np.abs(pipe.encode_query("good film") - pipe.encode_document("good film")).max() > 0.1
        assert not pipe.encode_query("").any()
        asked = {"input": "good film " * 10, "role": "query"}
        reply = running.post("/v1/embeddings", asked)
        assert reply.status == 413 and b"20 tokens, and the model reads 12" in reply.body
        assert running.post("/v1/embeddings", {**asked, "truncate": True}).status == 200
        assert running.post("/v1/embeddings", {**asked, "role": "title"}).status == 422


def _counting(run: Any, runs: list[str]) -> Any:
    """`Session.run`, which notes the graphs that it runs."""

    def counted(session: Any, inputs: Any, graph: str | None = None) -> Any:
        runs.append(session.name_of(graph))
        return run(session, inputs, graph)

    return counted


def test_a_graph_that_pools_offers_no_states_of_tokens(tmp_path: Path) -> None:
    several, routed = write_several_embedder(tmp_path / "several"), write_routed_embedder(tmp_path / "routed")
    with RunningServer({"several": several, "routed": routed}) as running:
        models = running.wait().get("/ready").json["models"]
        assert models["several"]["tasks"] == ["sentence-similarity"]
        assert models["routed"]["tasks"] == ["sentence-similarity", "feature-extraction"]
        assert running.post("/embed_all", {"inputs": "good", "model": "several"}).status == 400
        compared = {"inputs": {"source_sentence": "good", "sentences": ["good", "bad"]}}
        assert len(running.post("/models/several", compared).json) == 2
