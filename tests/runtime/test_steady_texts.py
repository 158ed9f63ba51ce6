"""Texts that are the same to the last bit at any number of streams: over a scheduler, and over HTTP."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import onnxpress
from onnxpress import Artifact
from onnxpress.generation.requests import Request
from onnxpress.generation.scheduler import Scheduler
from onnxpress.generation.settings import GenerationConfig

MODEL = Path(__file__).parents[2] / "models" / "tiny-lm"

PRECISIONS = ["fp32", "q8", *(pytest.param(name, marks=pytest.mark.nightly) for name in ("q4", "int8"))]


@pytest.fixture(scope="module", params=PRECISIONS)
def pipe(request: Any, exported: Callable[..., Artifact]) -> Iterator[Any]:
    precisions = ("fp32", "q8") if request.param in ("fp32", "q8") else ("fp32", request.param)
    artifact = exported(MODEL, task="text-generation", precision=precisions)
    with onnxpress.pipeline(model=artifact.folder, precision=request.param, threads=1) as opened:
        yield opened


def requests() -> list[Request]:
    rng = np.random.default_rng(1)
    made = []
    for number in range(16):
        config = GenerationConfig(
            max_new_tokens=3 + number, do_sample=number % 2 == 1, seed=number, top_k=50 if number % 4 == 1 else 0,
            repetition_penalty=1.1 if number % 5 == 2 else 1.0,
        )  # fmt: skip
        prompt = rng.integers(5, 1900, 1 + number * 4 if number else 1).tolist()
        made.append(Request(prompt, config, logprobs=True, best=2))
    return made


def written(pipe: Any, streams: int, chunk: int, gaps: list[int], steady: bool = True) -> list[Any]:
    """What each request hears; they come so many turns after each other."""
    scheduler = Scheduler(
        pipe.writer.opener(steady=steady),
        pipe.writer.limit,
        rows=streams,
        chunk_tokens=chunk,
        tokens=2000,
        steady=steady,
    )
    heard: dict[int, list[Any]] = defaultdict(list)
    left = list(enumerate(requests()))
    numbers: dict[int, int] = {}
    turn = 0
    while left or scheduler.busy:
        for _ in range(gaps[turn % len(gaps)] if streams > 1 else 1):
            if left:
                number, request = left.pop(0)
                numbers[scheduler.admit(request)] = number
        turn += 1
        for owner, event in scheduler.step():
            heard[numbers[owner]].append((event.token, event.logprob, event.best))
    assert not scheduler.given_up
    scheduler.close()
    return [heard[number] for number in range(16)]


@settings(max_examples=4, deadline=None, derandomize=True)
@given(
    streams=st.sampled_from([4, 16]),
    chunk=st.integers(2, 80),
    gaps=st.lists(st.integers(0, 6), min_size=1, max_size=4).filter(any),
)
def test_every_bit_is_that_of_a_text_alone(pipe: Any, streams: int, chunk: int, gaps: list[int]) -> None:
    alone = pipe.__dict__.setdefault("_alone", written(pipe, 1, 64, [1]))
    assert written(pipe, streams, chunk, gaps) == alone


@pytest.mark.nightly
def test_it_is_not_so_by_itself(exported: Callable[..., Artifact]) -> None:
    artifact = exported(MODEL, task="text-generation", precision=("fp32", "q4"))
    with onnxpress.pipeline(model=artifact.folder, precision="q4", threads=1) as pipe:
        assert written(pipe, 16, 16, [3], steady=False) != written(pipe, 1, 64, [1], steady=False)


def test_over_http_at_1_4_and_16_streams(pipe: Any) -> None:
    for needed in ("uvicorn", "httptools", "orjson", "prometheus_client"):
        pytest.importorskip(needed)
    from onnxpress.serve.settings import ModelSettings
    from tests.fixtures.serving import RunningServer

    model = ModelSettings(str(pipe.artifact.folder), precision=pipe.precision, threads=1)
    with RunningServer({"lm": model}, deterministic=True) as server:
        server.wait()

        def ask(number: int) -> Any:
            chat = [{"role": "user", "content": f"Say {number} words. " * (1 + number % 3)}]
            body = {"messages": chat, "max_tokens": 6, "temperature": number % 2, "seed": number, "logprobs": True}
            return server.post("/v1/chat/completions", body).json["choices"]

        told = []
        for streams in (1, 4, 16):
            with ThreadPoolExecutor(streams) as pool:
                told.append(list(pool.map(ask, range(16))))
    assert told[0] == told[1] == told[2]
