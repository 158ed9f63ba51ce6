"""The trained Whisper: what it hears in held-out sentences is right, and as transformers hears it; segments and words
have the synthesizer's own times; and nothing of it is lost in int8."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from onnxpress import pipeline
from onnxpress_exporter.judging.figures import edit_distance
from tests.fixtures.store import Store

RATE = 16_000
GREEDY = {"generate_kwargs": {"num_beams": 1}}

#: Seconds that a time may be from the synthesizer's own.
APART = 0.08

pytestmark = pytest.mark.nightly  # the same paths are fast on random weights; an export of three precisions is not


@pytest.fixture(scope="module")
def spoken(trained: Callable[[str], Path]) -> list[dict[str, Any]]:
    """Sentences: `samples`, `text`, `times` of the words."""
    with (trained("tiny-words-whisper") / "examples.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    for row in rows:
        row["samples"] = soundfile.read(BytesIO(b64decode(row["audio"].partition(",")[2])), dtype="float32")[0]
    return rows


@pytest.fixture(scope="module", params=["fp32", "int8"])
def pipe(request: pytest.FixtureRequest, trained: Callable[[str], Path], store: Store) -> Any:
    folder = store.artifact(trained("tiny-words-whisper"), None, ("fp32", "int8"))
    return pipeline(model=folder, precision=request.param)


def error(heard: list[str], spoken: list[dict[str, Any]]) -> float:
    """The share of words that are wrong."""
    rights = [row["text"].split() for row in spoken]
    return sum(edit_distance(right, text.split()) for right, text in zip(rights, heard, strict=True)) / sum(
        map(len, rights)
    )


def test_words_and_their_times_are_the_synthesizers(pipe: Any, spoken: list[dict[str, Any]]) -> None:
    answers = pipe([row["samples"] for row in spoken], return_timestamps="word", **GREEDY)
    assert error([answer["text"] for answer in answers], spoken) <= 0.07
    apart: list[float] = []
    for row, answer in zip(spoken, answers, strict=True):
        if answer["text"].split() == row["text"].split():
            times = [chunk["timestamp"] for chunk in answer["chunks"]]
            apart += np.abs(np.array(times) - np.array(row["times"])).ravel().tolist()
    assert np.quantile(apart, 0.9) <= APART


def test_segments_begin_and_end_with_the_sentences(pipe: Any, spoken: list[dict[str, Any]]) -> None:
    apart = []
    for row in spoken[:20]:
        chunks = pipe(row["samples"], return_timestamps=True, **GREEDY)["chunks"]
        right = (row["times"][0][0], row["times"][-1][1])
        apart += [
            abs(a - b) for a, b in zip((chunks[0]["timestamp"][0], chunks[-1]["timestamp"][1]), right, strict=True)
        ]
    assert np.quantile(apart, 0.9) <= 2 * APART


def test_texts_are_those_of_transformers(
    pipe: Any, spoken: list[dict[str, Any]], trained: Callable[[str], Path], reference: Callable[..., Any]
) -> None:
    if pipe.precision != "fp32":
        pytest.skip("of fp32")
    theirs = reference(trained("tiny-words-whisper"), "automatic-speech-recognition")
    for row in spoken[:8]:
        for options in ({}, GREEDY):
            assert pipe(row["samples"], **options) == theirs(row["samples"].copy(), **options)


def test_a_long_sound_is_heard_window_after_window(pipe: Any, spoken: list[dict[str, Any]]) -> None:
    """Each sentence begins where it was said, whichever window heard it."""
    silence, samples, begins, end = np.zeros(round(0.6 * RATE), np.float32), [], [], 0.0
    for row in spoken[:16]:
        begins.append(end + row["times"][0][0])
        samples += [row["samples"], silence]
        end += (len(row["samples"]) + len(silence)) / RATE
    heard = pipe(np.concatenate(samples), return_timestamps=True, **GREEDY)
    right = {**spoken[0], "text": " ".join(row["text"] for row in spoken[:16])}
    assert error([heard["text"]], [right]) <= 0.12
    starts = [chunk["timestamp"][0] for chunk in heard["chunks"]]
    assert starts == sorted(starts)
    near = [min(abs(start - begin) for start in starts) <= 2 * APART for begin in begins]
    assert sum(near) >= 0.8 * len(near)
