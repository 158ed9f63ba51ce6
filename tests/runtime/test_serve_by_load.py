"""A server writes few texts by one variant and many by another; each text is wholly of one, and is what that writes."""

from __future__ import annotations

import dataclasses
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

from onnxpress.serve import by_load  # noqa: E402
from onnxpress.serve.settings import ModelSettings  # noqa: E402
from onnxpress.serve.step_times import Crossover, StepTimer, StepTimes  # noqa: E402
from tests.fixtures.serving import RunningServer  # noqa: E402

MODELS = Path(__file__).parents[2] / "models"
PROMPTS = ("Once upon a time", "The cat", "A long way from here", "Two friends")
STREAMS = 6


@pytest.fixture(scope="module")
def artifact(exported: Callable[..., Artifact]) -> Path:
    return Path(exported(MODELS / "tiny-lm", task="text-generation", precision=("fp32", "q4", "int8")).folder)


@pytest.fixture(scope="module")
def texts(artifact: Path) -> dict[str, dict[str, str]]:
    """What each variant writes about each prompt, alone."""
    answers = {}
    for precision in ("q4", "int8"):
        with onnxpress.pipeline(model=artifact, precision=precision, threads=1) as pipe:
            answers[precision] = {
                prompt: "".join(pipe.stream(prompt, do_sample=False, max_new_tokens=24)) for prompt in PROMPTS
            }
    assert answers["q4"] != answers["int8"]
    return answers


@pytest.fixture
def first_is_q4(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a tiny model any variant may be the fastest; here the one of the fewest bytes is, as of a real one."""
    from onnxpress.engine import choice

    real = choice._fastest

    def fastest(manifest: Any, suited: Any, *rest: Any) -> Any:
        return real(manifest, {"q4": suited["q4"], "fp32": suited["fp32"]}, *rest)

    monkeypatch.setattr(choice, "_fastest", fastest)
    monkeypatch.setattr(choice, "_measured", lambda *_: None)


@pytest.fixture
def crossing(monkeypatch: pytest.MonkeyPatch) -> list[tuple[StepTimes, StepTimes]]:
    """int8 overtakes q4 at 3 texts, whatever was measured, which is in here then."""
    measured: list[tuple[StepTimes, StepTimes]] = []

    def crossover(first: StepTimes, second: StepTimes, most: int) -> Crossover:
        measured.append((first, second))
        return Crossover(3, 2)

    monkeypatch.setattr(by_load, "crossover", crossover)
    monkeypatch.setattr(by_load, "HOLD_S", 0.5)
    monkeypatch.setattr(by_load.Peak.__init__, "__defaults__", (0.5,))
    return measured


@pytest.fixture
def server(artifact: Path, first_is_q4: None) -> Iterator[RunningServer]:
    asked = ModelSettings(str(artifact), precision="fastest", threads=1)
    with RunningServer({"lm": asked}, streams=STREAMS) as running:
        yield running.wait()


def ask(server: RunningServer, prompt: str, **more: Any) -> tuple[str, str]:
    """The variant, and the text."""
    body = {"model": "lm", "prompt": prompt, "temperature": 0, "max_tokens": 24, **more}
    reply = server.post("/v1/completions", body)
    assert reply.status == 200, reply.body
    return reply.headers["x-variant"], reply.json["choices"][0]["text"]


def ask_many(server: RunningServer, count: int) -> list[tuple[str, str, str]]:
    with ThreadPoolExecutor(STREAMS) as pool:
        prompts = [PROMPTS[number % len(PROMPTS)] for number in range(count)]
        return [
            (prompt, *answer)
            for prompt, answer in zip(prompts, pool.map(lambda prompt: ask(server, prompt), prompts), strict=True)
        ]


def state(server: RunningServer) -> Any:
    return server.get("/status").json["models"]["lm"]["by_load"]


def tried(server: RunningServer) -> Any:
    """Ask for many texts until the second variant was tried."""
    until = time.monotonic() + 120
    while "is tried when" in state(server)["why"]:
        assert time.monotonic() < until
        ask_many(server, 2 * STREAMS)
    return state(server)


def test_few_texts_are_of_one_variant_and_many_of_another(
    crossing: list[Any], server: RunningServer, texts: dict[str, dict[str, str]]
) -> None:
    assert ask(server, PROMPTS[0]) == ("q4", texts["q4"][PROMPTS[0]])
    assert not state(server)["open"]
    taken = server.counted("onnxpress_model_bytes")
    assert tried(server)["open"]
    assert server.counted("onnxpress_model_bytes") > taken
    [(first, second)] = crossing
    assert first.texts == second.texts == (1, 4, STREAMS)
    assert all(seconds > 0 for seconds in (*first.seconds, *second.seconds))
    many = ask_many(server, 4 * STREAMS)
    assert {variant for _, variant, _ in many} >= {"int8"}
    assert all(text == texts[variant][prompt] for prompt, variant, text in many)
    assert state(server)["writes"]
    time.sleep(0.6)
    assert ask(server, PROMPTS[1]) == ("q4", texts["q4"][PROMPTS[1]])
    metrics = server.get("/metrics").body.decode()
    assert 'onnxpress_begun_texts_total{model="lm",variant="int8"}' in metrics
    assert server.get("/status").json["models"]["lm"]["texts"] == 0


def test_the_second_variant_is_given_back_when_nobody_uses_it(
    crossing: list[Any], server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from onnxpress.serve import registry

    assert tried(server)["open"]
    monkeypatch.setattr(registry, "IDLE_S", 0.1)
    until = time.monotonic() + 30
    while state(server)["open"]:
        assert time.monotonic() < until
        time.sleep(0.1)
    assert ask(server, PROMPTS[0])[0] == "q4"
    ask_many(server, 2 * STREAMS)
    while not state(server)["open"]:
        assert time.monotonic() < until + 30
        ask_many(server, STREAMS)
    assert len(crossing) == 1  # it is not measured again


def test_one_that_is_not_faster_is_closed_and_the_reason_told(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(by_load, "crossover", lambda *_: None)
    after = tried(server)
    assert not after["open"] and not after["writes"] and after["from_texts"] is None
    assert "of q4's time with 6 texts at once, which is not surely less" in after["why"]
    assert {variant for _, variant, _ in ask_many(server, 2 * STREAMS)} == {"q4"}


def test_one_for_which_there_is_no_memory_is_not_opened(server: RunningServer) -> None:
    registry = server.app.service.registry
    registry._settings = dataclasses.replace(registry._settings, memory_bytes=registry.models["lm"].bytes + 1)
    after = tried(server)
    assert not after["open"]
    assert after["why"].startswith("int8 takes about ") and after["why"].endswith(" are free")
    assert {variant for _, variant, _ in ask_many(server, 2 * STREAMS)} == {"q4"}


@pytest.mark.parametrize(
    ("model", "server_settings"),
    [({"precision": "q4"}, {}), ({"precision": "exact"}, {}), ({"precision": "fastest"}, {"deterministic": True})],
)
def test_whoever_names_a_variant_or_wants_the_same_text_has_one(
    artifact: Path, first_is_q4: None, model: dict[str, Any], server_settings: dict[str, Any]
) -> None:
    asked = ModelSettings(str(artifact), threads=1, **model)
    with RunningServer({"lm": asked}, streams=STREAMS, **server_settings) as server:
        server.wait()
        ask_many(server, 2 * STREAMS)
        assert "by_load" not in server.get("/status").json["models"]["lm"]


def test_a_timer_ends_where_a_model_does_not_answer(server: RunningServer, artifact: Path) -> None:
    pipe = onnxpress.pipeline(model=artifact, precision="int8", threads=1)
    pipe.close()
    with pytest.raises(onnxpress.OnnxpressError, match="closed"):
        StepTimer(server.app.service.thread, [pipe], 4).measure()
    assert ask(server, PROMPTS[0])[0] == "q4"
