"""Servers under load: each scenario against a server of ours, in a process of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

for needed in ("uvicorn", "httptools", "orjson", "prometheus_client"):
    pytest.importorskip(needed)

from onnxpress import Artifact, pipeline  # noqa: E402
from onnxpress_bench.backends import BackendSpec, Batching, Serves  # noqa: E402
from onnxpress_bench.backends.embedding_servers import OnnxpressServer  # noqa: E402
from onnxpress_bench.backends.writing_servers import OnnxpressWritingServer  # noqa: E402
from onnxpress_bench.scenarios import Work, scenario  # noqa: E402
from onnxpress_bench.soak import Watch, bodies, soak  # noqa: E402

MODELS = Path(__file__).parents[2] / "models"
TEXTS = ["Ada lives in Rome.", "A word.", "The old house by the sea was empty for years."]
LOAD = {
    "server": {"queries": 40, "seed": 0, "p99_ms": 5000.0},
    "single": {"rounds": 3},
    "neighbours": {"short": TEXTS, "long": [" ".join(TEXTS)], "rate_per_s": 40.0, "seconds": 0.5, "seed": 0},
    "overload": {"filling_s": 0.3, "seconds": 0.5, "clients": 4, "seed": 0},
    "streams": {"streams": [1, 2], "seconds": 0.3, "new_tokens": 4, "long_words": 30, "beside": 1},
}
WORK = Work({"1x16": [[TEXTS[0]]]}, TEXTS, (), Batching(1), 0.1, 0.1, parameters=LOAD)


def started(backend: Any) -> Any:
    """A backend whose server answers."""
    backend.load_libraries()
    backend.load()
    return backend


@pytest.fixture(scope="module")
def embedder(exported: Callable[..., Artifact]) -> Iterator[OnnxpressServer]:
    folder = str(exported(MODELS / "tiny-embedder", task="sentence-similarity").folder)
    settings = {"precision": "fp32", "model_files": []}
    spec = BackendSpec("server", "onnxpress-server", "sentence-similarity", folder, 1, settings=settings)
    backend: OnnxpressServer = started(OnnxpressServer(spec))
    yield backend
    backend.close()


def test_its_answers_are_the_pipelines(embedder: OnnxpressServer) -> None:
    assert isinstance(embedder, Serves)
    with pipeline(model=embedder.spec.folder, threads=1) as pipe:
        for text, answer in zip(TEXTS, embedder.many(TEXTS, Batching(1)), strict=True):
            assert (answer == pipe(text)).all()


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("rate", {"server_rate_per_s", "server_latency_ms"}),
        ("single", {"beyond_pipeline_ms"}),
        ("neighbours", {"short_alone_ms", "short_beside_ms", "long_beside_ms"}),
        (
            "overload",
            {
                *("capacity_per_s", "overload_per_s", "overload_latency_ms", "overload_refused_share"),
                *("overload_told_share", "overload_memory_share"),
            },
        ),
    ],
)
def test_scenarios_of_embedders(embedder: OnnxpressServer, name: str, keys: set[str]) -> None:
    samples = scenario(name)(embedder, WORK)
    assert set(samples) == keys
    assert all(samples[key] and min(samples[key]) >= 0 for key in keys - {"beyond_pipeline_ms", "overload_latency_ms"})


def test_texts_for_several_clients(exported: Callable[..., Artifact]) -> None:
    folder = str(exported(MODELS / "tiny-lm", task="text-generation").folder)
    spec = BackendSpec("server", "onnxpress-server-q4", "text-generation", folder, 1, settings={"precision": "fp32"})
    backend: OnnxpressWritingServer = started(OnnxpressWritingServer(spec))
    samples = scenario("streams")(backend, replace(WORK, stream=()))
    backend.close()
    assert samples["streams_1_per_s"][0] > 0 and samples["streams_2_per_s"][0] > 0
    assert samples["beside_prompt_first_ms"] and samples["beside_prompt_between_ms"]


def test_a_soak_watches_memory(embedder: OnnxpressServer, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxpress_bench.soak

    monkeypatch.setattr(onnxpress_bench.soak, "EVERY", 50)
    watch: Watch = asyncio.run(soak(embedder.served, 100, 4, bodies(6, count=200)))
    assert watch.statuses.total() == 100 and watch.statuses[200] > 80 and len(watch.resident) == 2
    assert watch.statuses[400] and set(watch.statuses) <= {200, 400, 404, 413}
    assert watch.report()["requests"] == 100
