"""What reads a text or a picture whole and writes about it, over real sockets: side by side, with beams, streamed."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import onnxpress
from onnxpress import Artifact

for needed in ("uvicorn", "httptools", "orjson", "prometheus_client"):
    pytest.importorskip(needed)

from tests.fixtures.serving import RunningServer  # noqa: E402

MODELS = Path(__file__).parents[2] / "models"
TEXTS = ["the small dog sees a red house", "we go home", "a cat", "the man has two old books and a new hat"]


@pytest.fixture(scope="module")
def artifacts(exported: Callable[..., Artifact]) -> dict[str, Path]:
    return {
        "translator": Path(exported(MODELS / "tiny-translator", task="translation").folder),
        "captioner": Path(exported(MODELS / "tiny-shapes-captioner", task="image-to-text").folder),
        "lm": Path(exported(MODELS / "tiny-lm", task="text-generation").folder),
    }


@pytest.fixture(scope="module")
def server(artifacts: dict[str, Path]) -> Iterator[RunningServer]:
    with RunningServer(artifacts, streams=8) as running:
        yield running.wait()


def events_of(body: bytes) -> list[Any]:
    return [json.loads(line[6:]) for line in body.decode().split("\n\n") if line.startswith("data: ")]


def picture() -> str:
    from PIL import Image, ImageDraw

    drawn = Image.new("RGB", (32, 32), "white")
    ImageDraw.Draw(drawn).ellipse((6, 6, 26, 26), fill="red")
    file = io.BytesIO()
    drawn.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def test_translations_beside_each_other_are_those_of_calls(server: RunningServer, artifacts: dict[str, Path]) -> None:
    asked = [{"num_beams": beams} for beams in (1, 3, 4)]
    with onnxpress.pipeline(model=artifacts["translator"], threads=1) as pipe:
        expected = [[pipe(text, **options)[0] for options in asked] for text in TEXTS]

    def ask(number: int) -> Any:
        text, options = divmod(number, len(asked))
        return server.post("/models/translator", {"inputs": TEXTS[text], "parameters": asked[options]}).json

    with ThreadPoolExecutor(12) as pool:
        replies = list(pool.map(ask, range(12)))
    assert [reply[0] for reply in replies] == [result for of_text in expected for result in of_text]
    several = server.post("/models/translator", {"inputs": TEXTS, "parameters": {"num_beams": 3}}).json
    assert [reply[0] if isinstance(reply, list) else reply for reply in several] == [each[1] for each in expected]
    assert not server.app.service.registry.models["translator"].version.writing.driver.busy


def test_a_translation_and_a_picture_s_text_are_streamed(server: RunningServer, artifacts: dict[str, Path]) -> None:
    with onnxpress.pipeline(model=artifacts["translator"], threads=1) as pipe:
        expected = "".join(pipe.stream(TEXTS[0]))
    events = events_of(server.post("/models/translator", {"inputs": TEXTS[0], "stream": True}).body)
    assert "".join(event["token"]["text"] for event in events) == expected == events[-1]["generated_text"]
    assert len(events) > 2
    with onnxpress.pipeline(model=artifacts["captioner"], threads=1) as pipe:
        expected = "".join(pipe.stream(base64.b64decode(picture())))
        whole = pipe(base64.b64decode(picture()))
    events = events_of(server.post("/models/captioner", {"inputs": picture(), "stream": True}).body)
    assert events[-1]["generated_text"] == expected
    assert server.post("/models/captioner", {"inputs": picture()}).json == whole


def test_beams_and_several_texts_of_a_prompt(server: RunningServer, artifacts: dict[str, Path]) -> None:
    asked = {"num_beams": 3, "num_return_sequences": 2, "max_new_tokens": 8, "do_sample": False}
    with onnxpress.pipeline(model=artifacts["lm"], threads=1) as pipe:
        expected = pipe("Once upon a time", **asked)
        formed = {"max_new_tokens": 30, "do_sample": False, "regex": "(yes|no)+!"}
        text = pipe("Is it?", return_full_text=False, **formed)
    assert server.post("/models/lm", {"inputs": "Once upon a time", "parameters": asked}).json == expected
    body = {"inputs": "Is it?", "parameters": {"return_full_text": False, **formed}}
    assert server.post("/models/lm", body).json == text
    wide = server.post("/models/lm", {"inputs": "A", "parameters": {**asked, "num_beams": 9, "max_new_tokens": 3}})
    assert wide.status == 200, "more beams than texts that are written at once"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"inputs": TEXTS, "stream": True}, "one input"),
        ({"inputs": "a", "parameters": {"num_beams": 2}, "stream": True}, "one beam"),
        ({"inputs": "a " * 900, "stream": True}, "tokens"),
        ({"inputs": "a", "parameters": {"max_new_tokens": 0}}, "max_new_tokens"),
    ],
)
def test_what_cannot_be_written_is_refused(server: RunningServer, body: Any, says: str) -> None:
    reply = server.post("/models/translator", body)
    assert 400 <= reply.status < 500
    assert says in reply.body.decode()


def test_one_text_that_cannot_be_written_fails_with_its_place(server: RunningServer) -> None:
    reply = server.post("/models/lm", {"inputs": ["fine", "long " * 900], "parameters": {"max_new_tokens": 4}})
    assert reply.status in (400, 413, 422)
    assert np.isin(1, [reply.json.get("index", 1)])
