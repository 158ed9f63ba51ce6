"""Whisper base with its real weights, on real speech: its text and times are transformers', every precision says the
same, and of silence and noise nothing is said."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import onnxpress
from onnxpress_bench.real_whisper import NoRealWhisperError, real_whisper_checkpoint
from onnxpress_exporter.judging import speech
from onnxpress_exporter.judging.metrics import words_of
from tests.fixtures.spoken_hours import REAL_WHISPER

pytestmark = pytest.mark.nightly

RATE = 16_000
#: What is said, without commas: whether one stands after "so" is nearly a tie, which transformers itself decides
#: another way with five beams than with one, and a variant may decide another way than fp32.
WORDS = words_of(
    "And so my fellow Americans ask not what your country can do for you ask what you can do for your country"
)
PRECISIONS = ("int8", "q8", "q4", "fp16")

#: OpenAI's own, but for the compression, which transformers measures of token ids.
USUAL: Mapping[str, Any] = {
    "temperature": (0.0, 0.2, 0.4, 0.6, 0.8, 1.0),
    "logprob_threshold": -1.0,
    "no_speech_threshold": 0.6,
    "compression_ratio_threshold": 1.35,
    "num_beams": 1,
    "seed": 0,
}


@pytest.fixture(scope="module")
def spoken() -> NDArray[np.float32]:
    """From John F. Kennedy's inaugural address, which is in the public domain."""
    return speech.judged_speech(RATE)[0]


@pytest.fixture(scope="module")
def checkpoint(shared: Path) -> Path:
    folder = shared / "checkpoints" / "whisper-base"
    try:
        return folder if folder.exists() else real_whisper_checkpoint(folder)
    except NoRealWhisperError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def artifact(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if REAL_WHISPER in os.environ:
        return Path(os.environ[REAL_WHISPER])
    from onnxpress_exporter import export
    from onnxpress_exporter.quantize.settings import Settings

    folder = tmp_path_factory.mktemp("real") / "whisper-base"
    export(checkpoint, folder, precision=("fp32", *PRECISIONS), quantization=Settings(keep_slow=True))
    return folder


@pytest.fixture(scope="module")
def plain(artifact: Path) -> Any:
    return onnxpress.pipeline(model=artifact, precision="fp32")


@pytest.mark.parametrize("beams", [1, 5])
def test_real_speech_has_the_text_and_the_times_of_transformers(
    checkpoint: Path, plain: Any, spoken: NDArray[np.float32], beams: int
) -> None:
    from transformers import pipeline

    settings = {"num_beams": beams}
    theirs = pipeline("automatic-speech-recognition", model=str(checkpoint))
    raw = {"raw": spoken, "sampling_rate": RATE}
    expected = theirs(dict(raw), return_timestamps=True, generate_kwargs=settings)
    assert words_of(expected["text"]) == WORDS
    heard = plain(raw, return_timestamps=True, generate_kwargs=settings)
    assert heard["text"] == expected["text"]
    assert [chunk["timestamp"] for chunk in heard["chunks"]] == [chunk["timestamp"] for chunk in expected["chunks"]]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_precision_says_the_same_and_when(
    artifact: Path, plain: Any, spoken: NDArray[np.float32], precision: str
) -> None:
    with onnxpress.pipeline(model=artifact, precision=precision) as pipe:
        for beams in (1, 5):
            assert words_of(pipe(spoken, generate_kwargs={"num_beams": beams})["text"]) == WORDS, beams
        heard, exact = (each(spoken, return_timestamps="word")["chunks"] for each in (pipe, plain))
    assert [words_of(chunk["text"]) for chunk in heard] == [words_of(chunk["text"]) for chunk in exact]
    times = [time for chunk in heard for time in chunk["timestamp"]]
    assert times == sorted(times) and times[-1] <= 11.01
    # A comma has the pause behind it; without one, the pause is the next word's.
    alike = [word["text"] == other["text"] for word, other in zip(heard, exact, strict=True)]
    assert alike.count(False) <= 1
    for place, compared in ((0, [True, *alike[:-1]]), (1, alike)):
        for word, other, same in zip(heard, exact, compared, strict=True):
            assert not same or abs(word["timestamp"][place] - other["timestamp"][place]) <= 0.2


def quiet_sounds() -> Mapping[str, NDArray[np.float32]]:
    noise = np.random.default_rng(0).standard_normal(10 * RATE).astype(np.float32)
    return {"silence": np.zeros(10 * RATE, np.float32), "hiss": 0.001 * noise, "noise": 0.05 * noise}


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_of_silence_and_noise_nothing_is_said_where_the_thresholds_say_so(artifact: Path, precision: str) -> None:
    # Of silence without any noise the model is so sure of " you" that OpenAI's own threshold lets it pass.
    stricter = {"silence": {"logprob_threshold": -0.4}}
    with onnxpress.pipeline(model=artifact, precision=precision) as pipe:
        for name, samples in quiet_sounds().items():
            kwargs = {**USUAL, **stricter.get(name, {})}
            assert pipe(samples, return_timestamps=True, generate_kwargs=kwargs)["text"] == "", name


def test_silence_and_noise_have_the_text_of_transformers(checkpoint: Path, plain: Any) -> None:
    from transformers import pipeline

    theirs = pipeline("automatic-speech-recognition", model=str(checkpoint))
    kwargs = {name: value for name, value in USUAL.items() if name != "seed"} | {"temperature": 0.0, "language": "en"}
    for name, samples in quiet_sounds().items():
        raw = {"raw": samples, "sampling_rate": RATE}
        expected = theirs(dict(raw), return_timestamps=True, generate_kwargs=kwargs)
        assert plain(raw, return_timestamps=True, generate_kwargs=kwargs)["text"] == expected["text"], name


def test_real_speech_is_written_at_the_first_temperature_or_drawn_the_same_for_a_seed(
    plain: Any, spoken: NDArray[np.float32]
) -> None:
    assert words_of(plain(spoken, generate_kwargs=dict(USUAL))["text"]) == WORDS
    drawn = {**USUAL, "temperature": (0.0, 0.8), "logprob_threshold": -0.01}
    text = plain(spoken, generate_kwargs=drawn)["text"]
    assert plain(spoken, generate_kwargs=drawn)["text"] == text and text.strip()
