"""Clients that know nothing of us: what they send is read, and what is answered is what they parse."""

from __future__ import annotations

import io
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from onnxpress import Artifact

for needed in ("uvicorn", "httptools", "orjson", "prometheus_client"):
    pytest.importorskip(needed)

from tests.fixtures.serving import RunningServer  # noqa: E402

MODELS = Path(__file__).parents[2] / "models"
GOLDEN = Path(__file__).parents[1] / "golden"
TEXT = "Ada lives in Rome."
CHECKPOINTS = {
    "emb": ("tiny-embedder", "sentence-similarity"),
    "sent": ("tiny-sentiment", "text-classification"),
    "nli": ("tiny-nli", "text-classification"),
    "rank": ("tiny-reranker", "text-ranking"),
    "ner": ("tiny-ner", "token-classification"),
    "mlm": ("tiny-mlm", "fill-mask"),
    "qa": ("tiny-qa", "question-answering"),
    "vit": ("tiny-digits-vit", "image-classification"),
    "snd": ("tiny-sounds-ast", "audio-classification"),
}


@pytest.fixture(scope="module")
def server(exported: Callable[..., Artifact]) -> Iterator[RunningServer]:
    folders = {name: Path(exported(MODELS / folder, task=task).folder) for name, (folder, task) in CHECKPOINTS.items()}
    folders["tr"] = GOLDEN / "3-translator" / "artifact"
    with RunningServer(folders) as running:
        yield running.wait()


@pytest.fixture(scope="module")
def picture() -> bytes:
    target = io.BytesIO()
    Image.new("RGB", (28, 28), (200, 30, 40)).save(target, "PNG")
    return target.getvalue()


@pytest.fixture(scope="module")
def sound() -> bytes:
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes((np.sin(np.arange(8_000) / 20) * 20_000).astype("<i2").tobytes())
    return target.getvalue()


def hub(server: RunningServer, model: str) -> Any:
    from huggingface_hub import InferenceClient

    return InferenceClient(model=f"{server.url}/models/{model}", token="none")


TEXT_TASKS: dict[str, tuple[str, Callable[[Any], Any], Callable[[Any], Any]]] = {
    "text_classification": ("sent", lambda c: c.text_classification(TEXT), lambda r: len(r) > 1 and r[0].score),
    "its_top": ("sent", lambda c: c.text_classification(TEXT, top_k=1), lambda r: len(r) == 1),
    "zero_shot_classification": (
        "nli",
        lambda c: c.zero_shot_classification(TEXT, ["place", "word"], multi_label=True),
        lambda r: {entry.label for entry in r} == {"place", "word"},
    ),
    "token_classification": ("ner", lambda c: c.token_classification(TEXT), lambda r: r[0].entity_group == "PER"),
    "fill_mask": ("mlm", lambda c: c.fill_mask("Ada lives in [MASK]."), lambda r: len(r) == 5 and r[0].token_str),
    "question_answering": (
        "qa",
        lambda c: c.question_answering(question="Who?", context=TEXT),
        lambda r: r.answer in TEXT,
    ),
    "several_answers": (
        "qa",
        lambda c: c.question_answering(question="Who?", context=TEXT, top_k=2),
        lambda r: len(r) == 2,
    ),
    "feature_extraction": ("emb", lambda c: c.feature_extraction(TEXT, normalize=True), lambda r: r.shape == (1, 64)),
    "sentence_similarity": ("emb", lambda c: c.sentence_similarity(TEXT, [TEXT, "b"]), lambda r: r[0] > r[1]),
    "translation": ("tr", lambda c: c.translation("Hello"), lambda r: r.translation_text),
}


@pytest.mark.parametrize("name", TEXT_TASKS)
def test_the_hubs_client_on_texts(server: RunningServer, name: str) -> None:
    model, ask, holds = TEXT_TASKS[name]
    result = ask(hub(server, model))
    assert holds(result), result


def test_the_hubs_client_on_pictures_and_sounds(server: RunningServer, picture: bytes, sound: bytes) -> None:
    assert hub(server, "vit").image_classification(picture)[0].label
    assert len(hub(server, "vit").image_classification(picture, top_k=2)) == 2
    assert hub(server, "snd").audio_classification(sound)[0].label
    assert len(hub(server, "snd").audio_classification(sound, top_k=2)) == 2


@pytest.mark.parametrize("content", ["/etc/passwd", "http://127.0.0.1/a.png", "file:///etc/passwd", "%%%"])
def test_a_text_in_the_place_of_a_picture_is_no_file_and_no_address(server: RunningServer, content: str) -> None:
    reply = server.post("/models/vit", {"inputs": content})
    assert reply.status == 422 and b"root:" not in reply.body


def test_openais_client(server: RunningServer) -> None:
    openai = pytest.importorskip("openai")
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        assert [model.id for model in client.models.list()] == [*CHECKPOINTS, "tr"]
        assert client.models.retrieve("emb").id == "emb"
        vectors = client.embeddings.create(model="emb", input=[TEXT, "b"])
        assert [len(entry.embedding) for entry in vectors.data] == [64, 64] and vectors.usage.total_tokens > 4
        with pytest.raises(openai.NotFoundError, match="Did you mean"):
            client.embeddings.create(model="embb", input="a")
        with pytest.raises(openai.BadRequestError, match="token ids"):
            client.embeddings.create(model="emb", input=[[1, 2, 3]])


def test_rerank_in_three_shapes(server: RunningServer) -> None:
    documents = ["A word.", TEXT]
    of_tei = server.post("/rerank", {"query": "Rome", "texts": documents, "return_text": True}).json
    assert [entry["index"] for entry in of_tei] == [1, 0] and of_tei[0]["text"] == TEXT
    for path in ("/v1/rerank", "/v2/rerank", "/models/rank/rerank"):
        body = {"model": "rank", "query": "Rome", "documents": documents, "top_n": 1, "return_documents": True}
        reply = server.post(path, body).json
        assert [entry["index"] for entry in reply["results"]] == [1]
        assert 0 <= reply["results"][0]["relevance_score"] <= 1 and reply["usage"]["total_tokens"] > 4
        assert reply["results"][0]["document"] == {"text": TEXT}
    long = server.post("/v2/rerank", {"query": "Rome", "documents": ["a word " * 600]}).json
    assert "the model read" in long["meta"]["warnings"][0]


def test_coheres_client(server: RunningServer) -> None:
    cohere = pytest.importorskip("cohere")
    client = cohere.ClientV2(api_key="none", base_url=server.url)
    reply = client.rerank(model="rank", query="Rome", documents=["A word.", TEXT], top_n=1)
    assert reply.results[0].index == 1


@pytest.mark.parametrize("binary", [True, False])
def test_tritons_client(server: RunningServer, picture: bytes, binary: bool) -> None:
    triton = pytest.importorskip("tritonclient.http")
    client = triton.InferenceServerClient(f"localhost:{server.port}")
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("emb")
    assert client.get_model_metadata("emb")["inputs"][0]["name"] == "text"

    def infer(model: str, **columns: list[Any]) -> Any:
        inputs = []
        for name, values in columns.items():
            tensor = triton.InferInput(name, [len(values)], "BYTES")
            tensor.set_data_from_numpy(np.array(values, dtype=object), binary_data=binary)
            inputs.append(tensor)
        return client.infer(model, inputs)

    assert infer("emb", text=[TEXT, "b"]).as_numpy("embedding").shape == (2, 64)
    assert infer("sent", text=[TEXT, "b"]).as_numpy("score").dtype == np.float32
    assert infer("qa", question=["Who?"], context=[TEXT]).as_numpy("json").shape == (1,)
    if binary:
        assert infer("vit", content=[picture]).as_numpy("label").shape == (1,)
