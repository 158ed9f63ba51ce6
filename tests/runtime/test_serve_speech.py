"""Sounds that are transcribed over HTTP, as OpenAI's client sends them and reads what comes back."""

from __future__ import annotations

import io
import json
import time
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import onnxpress

for needed in ("uvicorn", "httptools", "orjson", "prometheus_client"):
    pytest.importorskip(needed)
openai: Any = pytest.importorskip("openai")

from tests.fixtures.serving import RunningServer, blocked  # noqa: E402
from tests.fixtures.tiny_sounds import tiny_whisper  # noqa: E402

RATE = 16_000
MODELS = Path(__file__).parents[2] / "models"

#: Texts of random weights do not end by themselves.
SHORT = {"generate_kwargs": {"num_beams": 1, "max_new_tokens": 20}}


def sound(seconds: float, seed: int = 0) -> bytes:
    noise = np.random.default_rng(seed).uniform(-0.5, 0.5, int(seconds * RATE))
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((noise * 32767).astype("<i2").tobytes())
    return target.getvalue()


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory, exported: Callable[..., Any]) -> Path:
    checkpoint = tiny_whisper(tmp_path_factory.mktemp("whisper") / "checkpoint")
    return Path(exported(checkpoint, "automatic-speech-recognition").folder)


@pytest.fixture(scope="module")
def server(artifact: Path) -> Iterator[RunningServer]:
    from onnxpress.serve.settings import ModelSettings

    whisper = ModelSettings(str(artifact), threads=1, options=SHORT)
    with RunningServer({"whisper": whisper}, sound_s=9.0) as running:
        yield running.wait()


@pytest.fixture(scope="module")
def pipe(artifact: Path) -> Iterator[Any]:
    with onnxpress.pipeline(model=artifact, threads=1, **SHORT) as opened:
        yield opened


@pytest.fixture(scope="module")
def client(server: RunningServer) -> Iterator[Any]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as opened:
        yield opened


def ask(client: Any, content: bytes, **asked: Any) -> Any:
    return client.audio.transcriptions.create(model="whisper", file=("a.wav", content), **asked)


@pytest.mark.parametrize("seconds", [1.0, 5.0])
def test_a_sound_has_the_pipelines_text_in_every_form(client: Any, pipe: Any, seconds: float) -> None:
    content = sound(seconds)
    plain, timed = pipe(content), pipe(content, return_timestamps=True)
    answered = ask(client, content)
    assert answered.text == plain["text"].strip()
    assert answered.usage.seconds == seconds
    assert ask(client, content, response_format="text") == plain["text"].strip() + "\n"
    assert ask(client, content, response_format="srt").startswith("1\n00:00:0")
    assert ask(client, content, response_format="vtt").startswith("WEBVTT\n\n00:0")
    verbose = ask(client, content, response_format="verbose_json")
    assert (verbose.text, verbose.duration) == (timed["text"].strip(), seconds)
    spoken = [" ".join(chunk["text"].split()) for chunk in timed["chunks"]]
    assert [segment.text for segment in verbose.segments] == [text for text in spoken if text]
    assert all(0 <= segment.start <= segment.end for segment in verbose.segments)


def test_words_and_segments_have_their_times(client: Any, pipe: Any) -> None:
    content = sound(1.5, seed=1)
    words = [chunk for chunk in pipe(content, return_timestamps="word")["chunks"] if chunk["text"].strip()]
    both = ask(client, content, response_format="verbose_json", timestamp_granularities=["word", "segment"])
    assert [word.word for word in both.words] == [" ".join(chunk["text"].split()) for chunk in words]
    assert both.segments and both.language in ("english", "german", "french", "unknown")
    alone = ask(client, content, response_format="verbose_json", timestamp_granularities=["word"])
    assert alone.words == both.words and alone.segments is None


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the client's own method
def test_settings_reach_the_model(client: Any, pipe: Any) -> None:
    content = sound(1.0, seed=2)
    german = pipe(content, generate_kwargs={"language": "de", **SHORT["generate_kwargs"]})["text"].strip()
    assert ask(client, content, language="de").text == german
    prompted = pipe(content, prompt="abc")["text"].strip()
    assert ask(client, content, prompt="abc").text == prompted
    english = pipe(content, generate_kwargs={"task": "translate", **SHORT["generate_kwargs"]})["text"].strip()
    translated = client.audio.translations.create(model="whisper", file=("a.wav", content))
    assert translated.text == english
    assert ask(client, content, temperature=0).text == pipe(content)["text"].strip()


@pytest.mark.parametrize("seconds", [1.0, 5.0])
def test_a_text_comes_as_it_is_heard(client: Any, seconds: float) -> None:
    *deltas, done = ask(client, sound(seconds), stream=True)
    assert done.type == "transcript.text.done" and done.usage.seconds == seconds
    assert "".join(event.delta for event in deltas) == done.text
    assert {event.type for event in deltas} == {"transcript.text.delta"}


def test_a_long_sound_lets_others_pass_and_ends_when_its_client_leaves(
    server: RunningServer, client: Any, pipe: Any
) -> None:
    lane = server.app.service.registry.models["whisper"].version.hearing
    with (
        blocked(server, "whisper"),
        client.audio.transcriptions.with_streaming_response.create(
            model="whisper", file=("a.wav", sound(8.0)), stream=True
        ),
    ):
        until = time.monotonic() + 20  # headers come before the sound waits
        while not lane._sounds and time.monotonic() < until:
            server.get("/health")
        assert len(lane._sounds) == 1
    until = time.monotonic() + 20
    while (lane._sounds or server.app.service.registry.models["whisper"].version.uses) and time.monotonic() < until:
        server.get("/health")
    assert not lane._sounds
    late = pytest.raises(openai.APIStatusError)
    with blocked(server, "whisper"), late as refused:
        ask(client, sound(8.0), extra_headers={"x-request-timeout-ms": "50"})
    assert refused.value.status_code == 504
    assert not lane._sounds


@pytest.mark.parametrize(
    ("content", "asked", "status", "says"),
    [
        (b"", {}, 422, "damaged"),
        (b"no sound at all", {}, 422, "damaged"),
        (sound(10.0), {}, 413, "longer than the 9 seconds"),
        (sound(0.5), {"language": "klingon"}, 422, "klingon"),
        (sound(0.5), {"response_format": "diarized_json"}, 400, "response_format"),
        (sound(0.5), {"timestamp_granularities": ["word"]}, 400, "verbose_json"),
        (sound(0.5), {"temperature": 3}, 400, "from 0 to 1"),
        (sound(0.5), {"include": ["logprobs"]}, 400, "include[]: not answered"),
        (sound(0.5), {"stream": True, "response_format": "srt"}, 400, "json or text"),
        (sound(0.5), {"extra_body": {"model": "other"}}, 404, "no model 'other'"),
    ],
)
def test_what_cannot_be_heard_is_refused_with_the_reason(
    client: Any, content: bytes, asked: dict[str, Any], status: int, says: str
) -> None:
    with pytest.raises(openai.APIStatusError) as refused:
        ask(client, content, **asked)
    assert refused.value.status_code == status, refused.value.message
    assert says in refused.value.body["message"]


def test_a_body_that_is_no_form_or_too_large_is_refused(server: RunningServer) -> None:
    assert server.post("/v1/audio/transcriptions", {"file": "x"}).status == 415
    form = {"content_type": "multipart/form-data; boundary=x"}
    assert "file is missing" in server.post("/v1/audio/transcriptions", b"--x--", **form).json["error"]["message"]
    assert server.post("/v1/audio/transcriptions", b"", content_length=str(2**30), **form).status == 413


def test_a_model_that_tells_no_languages_is_asked_for_what_it_has(exported: Callable[..., Any]) -> None:
    artifact = Path(exported(MODELS / "tiny-words-ctc", "automatic-speech-recognition").folder)
    content = sound(1.0)
    with (
        RunningServer({"ctc": artifact}) as running,
        openai.OpenAI(base_url=f"{running.wait().url}/v1", api_key="none", max_retries=0) as client,
    ):
        verbose = ask(client, content, response_format="verbose_json", extra_body={"model": "ctc"})
        assert verbose.language == "unknown" and verbose.duration == 1.0
        *_, done = ask(client, content, stream=True, extra_body={"model": "ctc"})
        assert done.text == verbose.text
        for wrong in ({"prompt": "a"}, {"temperature": 0.5}):
            with pytest.raises(openai.BadRequestError):
                ask(client, content, extra_body={"model": "ctc"}, **wrong)
        for name in ("words", "language_model"):
            body = {"inputs": "data:audio/wav;base64,", "parameters": {name: "/etc/passwd"}}
            reply = running.post("/models/ctc", body)
            assert reply.status == 422 and b"not for a request" in reply.body, json.loads(reply.body)
