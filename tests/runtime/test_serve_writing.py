"""Texts that a server writes for real clients over real sockets: whole, streamed, side by side, and left."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import onnxpress
from onnxpress import Artifact

for needed in ("uvicorn", "httptools", "orjson", "prometheus_client"):
    pytest.importorskip(needed)

from tests.fixtures.serving import RunningServer  # noqa: E402

MODELS = Path(__file__).parents[2] / "models"
CHAT = [{"role": "user", "content": "Hello, who are you?"}]
PROMPT = "Once upon a time"


@pytest.fixture(scope="module")
def artifact(exported: Callable[..., Artifact]) -> Path:
    return Path(exported(MODELS / "tiny-lm", task="text-generation").folder)


@pytest.fixture(scope="module")
def server(artifact: Path) -> Iterator[RunningServer]:
    with RunningServer({"lm": artifact}, streams=4) as running:
        yield running.wait()


@pytest.fixture(scope="module")
def pipe(artifact: Path) -> Iterator[Any]:
    with onnxpress.pipeline(model=artifact, threads=1) as opened:
        yield opened


@pytest.fixture(scope="module")
def client(server: RunningServer) -> Any:
    openai = pytest.importorskip("openai")
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


def answer(pipe: Any, **settings: Any) -> str:
    return "".join(pipe.stream(CHAT, **settings))


def joined(chunks: Any, number: int = 0) -> str:
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices if choice.index == number)


def test_a_chat_is_what_the_pipeline_writes_whole_and_streamed(client: Any, pipe: Any) -> None:
    expected = answer(pipe, do_sample=False, max_new_tokens=20)
    whole = client.chat.completions.create(model="lm", messages=CHAT, temperature=0, max_completion_tokens=20)
    assert whole.choices[0].message.content == expected
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    chunks = list(
        client.chat.completions.create(
            model="lm", messages=CHAT, temperature=0, max_tokens=20, stream=True,
            stream_options={"include_usage": True},
        )
    )  # fmt: skip
    assert joined(chunks) == expected
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].usage == whole.usage
    finishes = [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]
    assert finishes == [whole.choices[0].finish_reason]


def test_a_text_does_not_depend_on_who_is_written_beside_it(client: Any, pipe: Any) -> None:
    calls = [{"temperature": 0}, {"temperature": 0.9, "seed": 7}, {"temperature": 1.2, "top_p": 0.8, "seed": 3}]

    def ask(number: int) -> str:
        asked = {**calls[number % 3], "max_tokens": 8 + number % 5}
        chat = [{"role": "user", "content": f"Say {number % 4} words."}]
        text: str = client.chat.completions.create(model="lm", messages=chat, **asked).choices[0].message.content
        return text

    alone = [ask(number) for number in range(12)]
    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(ask, range(12))) == alone


def test_several_texts_stop_strings_logprobs_and_a_bias(client: Any, pipe: Any) -> None:
    several = client.chat.completions.create(
        model="lm", messages=CHAT, n=3, temperature=2, seed=5, max_tokens=12, logprobs=True, top_logprobs=2
    )
    assert [choice.index for choice in several.choices] == [0, 1, 2]
    assert len({choice.message.content for choice in several.choices}) > 1
    for choice in several.choices:
        for entry in choice.logprobs.content:
            assert entry.logprob <= entry.top_logprobs[0].logprob + 1e-6 <= 1e-5
    greedy = client.chat.completions.create(model="lm", messages=CHAT, temperature=0, max_tokens=20)
    text = greedy.choices[0].message.content
    stop = text[3:6]
    stopped = client.chat.completions.create(model="lm", messages=CHAT, temperature=0, max_tokens=20, stop=[stop])
    assert (stopped.choices[0].message.content, stopped.choices[0].finish_reason) == (text[: text.index(stop)], "stop")
    streamed = client.chat.completions.create(
        model="lm", messages=CHAT, temperature=0, max_tokens=20, stop=stop, stream=True
    )
    assert joined(streamed) == text[: text.index(stop)]
    token = pipe.processor.tokenizer.encode("a", special_tokens=False).ids[-1]
    biased = client.chat.completions.create(
        model="lm", messages=CHAT, temperature=0, max_tokens=3, logit_bias={str(token): 100}
    )
    assert biased.usage.completion_tokens == 3
    assert biased.choices[0].message.content == pipe.processor.tokenizer.decode([token] * 3)


def test_json_and_calls_of_tools_have_their_form(client: Any) -> None:
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"],
              "additionalProperties": False}  # fmt: skip
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    formed = client.chat.completions.create(model="lm", messages=CHAT, response_format=form, max_tokens=40)
    assert isinstance(json.loads(formed.choices[0].message.content)["ok"], bool)
    tool = {"type": "function", "function": {"name": "check", "parameters": schema}}
    for stream in (False, True):
        called = client.chat.completions.create(
            model="lm", messages=CHAT, tools=[tool], tool_choice="required", max_tokens=60, stream=stream, seed=1
        )
        if stream:
            chunks = list(called)
            [call] = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]
            assert chunks[-1].choices[0].finish_reason == "tool_calls"
        else:
            [call] = called.choices[0].message.tool_calls
            assert called.choices[0].finish_reason == "tool_calls"
        assert call.function.name == "check"
        assert isinstance(json.loads(call.function.arguments)["ok"], bool)


def test_completions_of_several_prompts(client: Any, pipe: Any) -> None:
    written = client.completions.create(model="lm", prompt=[PROMPT, "The"], temperature=0, max_tokens=6, logprobs=2)
    expected = [
        pipe(prompt, do_sample=False, max_new_tokens=6, return_full_text=False)[0]["generated_text"]
        for prompt in (PROMPT, "The")
    ]
    assert [choice.text for choice in written.choices] == expected
    tokens = sum(len(choice.logprobs.tokens) for choice in written.choices)
    assert tokens == written.usage.completion_tokens > 2
    streamed = client.completions.create(model="lm", prompt=PROMPT, temperature=0, max_tokens=6, stream=True, echo=True)
    assert "".join(chunk.choices[0].text for chunk in streamed) == PROMPT + expected[0]


def test_the_hubs_client_writes_and_chats(server: RunningServer, pipe: Any) -> None:
    hub = pytest.importorskip("huggingface_hub")
    expected = pipe(PROMPT, do_sample=False, max_new_tokens=8, return_full_text=False)[0]["generated_text"]
    client = hub.InferenceClient(model=f"{server.url}/models/lm")
    streamed = list(client.text_generation(PROMPT, max_new_tokens=8, stream=True, details=True))
    assert "".join(piece.token.text for piece in streamed) == expected == streamed[-1].generated_text
    assert streamed[-1].details.finish_reason == "eos_token"
    told = client.text_generation(PROMPT, max_new_tokens=8, details=True)
    assert (told.generated_text, len(told.details.tokens)) == (expected, len(streamed))
    assert "".join(client.text_generation(PROMPT, max_new_tokens=8, stream=True)) == expected
    chat = client.chat_completion(CHAT, max_tokens=8, temperature=0)
    assert chat.choices[0].message.content == answer(pipe, do_sample=False, max_new_tokens=8)
    assert joined(client.chat_completion(CHAT, max_tokens=8, temperature=0, stream=True)) == (
        chat.choices[0].message.content
    )
    plain = server.post("/generate", {"inputs": PROMPT, "parameters": {"max_new_tokens": 8}})
    assert plain.json == {"generated_text": expected}


def _begin(server: RunningServer, pipe: Any, tokens: int) -> http.client.HTTPConnection:
    """Ask for a text that does not end before it has so many tokens."""
    ends = {str(token): -100 for token in pipe.writer.call({}).config.ends}
    connection = http.client.HTTPConnection("localhost", server.port)
    body = {"model": "lm", "messages": CHAT, "stream": True, "temperature": 0, "max_tokens": tokens, "logit_bias": ends}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"content-type": "application/json"})
    return connection


def test_who_leaves_in_mid_stream_gives_its_slot_back(
    server: RunningServer, pipe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = server.app.service.registry.models["lm"].version
    driver = version.writing.driver
    turns = []
    turn = driver.turn
    left = threading.Event()

    def slow_turn() -> None:
        turns.append(None)
        if len(turns) == 20:  # nobody writes on before the client has left
            left.wait(20)
            time.sleep(0.1)
        turn()

    monkeypatch.setattr(driver, "turn", slow_turn)
    connection = _begin(server, pipe, 400)
    response = connection.getresponse()
    assert response.read(30)
    response.close()
    connection.close()
    left.set()
    until = time.monotonic() + 20
    while (driver.busy or version.uses) and time.monotonic() < until:
        time.sleep(0.005)
    assert not driver.busy
    assert not version.uses
    assert len(turns) < 400


def test_who_reads_slowly_holds_nobody_up(server: RunningServer, client: Any, pipe: Any) -> None:
    slow = _begin(server, pipe, 200)
    slow.getresponse()  # and reads nothing
    for _ in range(3):
        written = client.chat.completions.create(model="lm", messages=CHAT, temperature=0, max_tokens=4)
        assert written.choices[0].message.content
    slow.close()


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "messages is missing"),
        ({"messages": []}, "messages is empty"),
        ({"messages": [{"role": "user", "content": 3}]}, "must be a text"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "this model reads texts"),
        ({"messages": CHAT, "temperature": 9}, "must be from 0"),
        ({"messages": CHAT, "n": 17}, "from 1 to 16"),
        ({"messages": CHAT, "max_tokens": 0}, "from 1 to"),
        ({"messages": CHAT, "stop": [""]}, "none of them empty"),
        ({"messages": CHAT, "logit_bias": {"x": 1}}, "token id"),
        ({"messages": CHAT, "top_logprobs": 2}, "needs logprobs"),
        ({"messages": CHAT, "tool_choice": "required"}, "there are no tools"),
        ({"messages": CHAT, "functions": []}, "not answered here"),
        ({"messages": CHAT, "response_format": {"type": "xml"}}, "response_format"),
        ({"messages": [{"role": "user", "content": "long " * 600}], "stream": True}, "shorten it"),
    ],
)
def test_what_cannot_be_written_is_refused_with_the_reason(server: RunningServer, body: Any, says: str) -> None:
    reply = server.post("/v1/chat/completions", {"model": "lm", **body})
    assert 400 <= reply.status < 500
    assert says in reply.json["error"]["message"]


def test_a_request_whose_time_is_up_ends(server: RunningServer) -> None:
    body = {"model": "lm", "messages": CHAT, "max_tokens": 400, "temperature": 0}
    reply = server.post("/v1/chat/completions", body, x_request_timeout_ms="1")
    assert reply.status == 504


def test_what_a_key_has_read_is_read_anew_for_another(artifact: Path) -> None:
    keys = {"first": "first-key-1", "second": "second-key-2"}
    chat = [{"role": "user", "content": "A long beginning, which two clients send. " * 6}]
    with RunningServer({"lm": artifact}, api_keys=keys) as running:
        while running.get("/ready", x_api_key=keys["first"]).status != 200:
            time.sleep(0.02)

        def cached(key: str) -> int:
            body = {"model": "lm", "messages": chat, "max_tokens": 2, "temperature": 0}
            reply = running.post("/v1/chat/completions", body, x_api_key=key)
            tokens: int = reply.json["usage"]["prompt_tokens_details"]["cached_tokens"]
            return tokens

        told = [cached(keys[name]) for name in ("first", "first", "second", "second")]
    assert told[0] == told[2] == 0
    assert told[1] == told[3] >= 32
