"""Frameworks that ask through clients of their own: LangChain and LlamaIndex. Each is skipped where it is absent."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import onnxpress

for needed in ("uvicorn", "httptools", "orjson", "prometheus_client"):
    pytest.importorskip(needed)

from tests.fixtures.serving import RunningServer  # noqa: E402

GOLDEN = Path(__file__).parents[1] / "golden"
EMBEDDER, WRITER = (GOLDEN / name / "artifact" for name in ("4-embedder", "3-decoder"))
TEXTS = ["Ada lives in Rome.", "A word."]


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with RunningServer({"emb": EMBEDDER, "lm": WRITER}) as running:
        yield running.wait()


@pytest.fixture(scope="module")
def address(server: RunningServer) -> dict[str, str]:
    return {"base_url": f"{server.url}/v1", "api_key": "none"}


@pytest.fixture(scope="module")
def vectors() -> Any:
    with onnxpress.pipeline(model=EMBEDDER, threads=1) as pipe:
        return np.array([pipe(text) for text in TEXTS])


class Encoding:
    """Takes the place of tiktoken's, whose vocabulary is downloaded when it is first asked for."""

    def encode(self, text: str, **_: Any) -> list[int]:
        return [ord(letter) for letter in text]

    encode_ordinary = encode


def test_langchain_embeds_texts_and_learns_why_ids_are_refused(
    address: dict[str, str], vectors: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    langchain = pytest.importorskip("langchain_openai")
    embeddings = langchain.OpenAIEmbeddings(model="emb", check_embedding_ctx_length=False, **address)
    np.testing.assert_allclose(embeddings.embed_documents(TEXTS), vectors, atol=1e-6)
    np.testing.assert_allclose(embeddings.embed_query(TEXTS[0]), vectors[0], atol=1e-6)
    tiktoken = pytest.importorskip("tiktoken")
    for name in ("encoding_for_model", "get_encoding"):
        monkeypatch.setattr(tiktoken, name, lambda *_: Encoding())
    with pytest.raises(Exception, match="check_embedding_ctx_length=False"):
        langchain.OpenAIEmbeddings(model="emb", **address).embed_documents(TEXTS)


def test_langchain_chats(address: dict[str, str]) -> None:
    langchain = pytest.importorskip("langchain_openai")
    chat = langchain.ChatOpenAI(model="lm", max_tokens=5, temperature=0, **address)
    whole = chat.invoke("Hello")
    assert whole.response_metadata["token_usage"]["completion_tokens"] <= 5
    assert "".join(piece.content for piece in chat.stream("Hello")) == whole.content


def test_llama_index_embeds(server: RunningServer, address: dict[str, str], vectors: Any) -> None:
    like = pytest.importorskip("llama_index.embeddings.openai_like")
    openai = like.OpenAILikeEmbedding(model_name="emb", api_base=address["base_url"], api_key="none")
    np.testing.assert_allclose(openai.get_text_embedding_batch(TEXTS), vectors, atol=1e-6)
    tei = pytest.importorskip("llama_index.embeddings.text_embeddings_inference")
    embedder = tei.TextEmbeddingsInference(base_url=server.url, model_name="emb", timeout=60)
    np.testing.assert_allclose(embedder.get_text_embedding_batch(TEXTS), vectors, atol=1e-6)


def test_llama_index_chats(address: dict[str, str]) -> None:
    like = pytest.importorskip("llama_index.llms.openai_like")
    llm = like.OpenAILike(
        model="lm", api_base=address["base_url"], api_key="none", is_chat_model=True, max_tokens=5, temperature=0
    )
    whole = llm.complete("Hello").text
    assert [piece.text for piece in llm.stream_complete("Hello")][-1] == whole


#: langchain-huggingface wants an older huggingface-hub than the runtime: the Python of an environment of its own.
_OTHER_PYTHON = "ONNXPRESS_LANGCHAIN_HUGGINGFACE_PYTHON"

_ASKS = """
import json, sys
from huggingface_hub import InferenceClient
from langchain_huggingface import ChatHuggingFace, HuggingFaceEndpoint, HuggingFaceEndpointEmbeddings
url, texts = sys.argv[1], json.loads(sys.argv[2])
greedy = dict.fromkeys(("temperature", "top_k", "top_p", "typical_p", "repetition_penalty"))
llm = HuggingFaceEndpoint(
    endpoint_url=url + "/models/lm", task="text-generation", max_new_tokens=5, do_sample=False, **greedy
)
chat = ChatHuggingFace(llm=llm, model_id="lm", max_tokens=5, temperature=0)
# It takes ids of the Hub alone; the client that it asks through takes addresses.
embeddings = HuggingFaceEndpointEmbeddings(model="emb")
embeddings.client = InferenceClient(model=url + "/models/emb")
print(json.dumps({
    "vectors": embeddings.embed_documents(texts),
    "vector": embeddings.embed_query(texts[0]),
    "text": llm.invoke("Hello"),
    "pieces": list(llm.stream("Hello")),
    "answer": chat.invoke("Hello").content,
    "streamed": [piece.content for piece in chat.stream("Hello")],
}))
"""


def test_langchain_of_hugging_face(server: RunningServer, vectors: Any) -> None:
    python = os.environ.get(_OTHER_PYTHON)
    if python is None:
        pytest.skip(f"${_OTHER_PYTHON} names no Python that has langchain-huggingface")
    ran = subprocess.run(
        [python, "-c", _ASKS, server.url, json.dumps(TEXTS)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    answers = json.loads(ran.stdout)
    np.testing.assert_allclose(answers["vectors"], vectors, atol=1e-6)
    np.testing.assert_allclose(answers["vector"], vectors[0], atol=1e-6)
    with onnxpress.pipeline(model=WRITER, threads=1) as pipe:
        (expected,) = pipe("Hello", max_new_tokens=5, do_sample=False, return_full_text=False)
    assert answers["text"] == "".join(answers["pieces"]) == expected["generated_text"]
    assert answers["answer"] and answers["answer"] == "".join(answers["streamed"])
