"""Models that hear a sound whole and write one text, against transformers: tokens of `generate`, greedy and with beams;
texts of the pipeline; what is heard alone and beside others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from onnxpress import InputError
from tests.fixtures.tiny_listeners import LISTENERS, tiny_listener

RATE, NEW = 16_000, 12

CALLS: tuple[Mapping[str, Any], ...] = (
    {},
    {"num_beams": 1},
    {"num_beams": 2, "length_penalty": 0.4},
    {"num_beams": 1, "no_repeat_ngram_size": 2, "repetition_penalty": 1.3},
    {"num_beams": 3, "suppress_tokens": [5, 9], "min_new_tokens": 4},
)

pytestmark = pytest.mark.nightly  # graphs of any length take long to trace


def sound(seconds: float, seed: int = 0) -> NDArray[np.float32]:
    generator = np.random.default_rng(seed)
    time = np.arange(int(RATE * seconds)) / RATE
    tone = np.sin(2 * np.pi * (200 + 300 * generator.random()) * time * (1 + 0.3 * np.sin(2 * time)))
    return (0.3 * tone + 0.05 * generator.standard_normal(len(time))).astype(np.float32)


@pytest.fixture(scope="module", params=LISTENERS)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_listener(request.param, tmp_path_factory.mktemp(request.param) / "checkpoint")


@pytest.fixture(scope="module")
def pipe(checkpoint: Path, ours: Callable[..., Any]) -> Any:
    return ours(checkpoint, "automatic-speech-recognition")


@pytest.fixture(scope="module")
def theirs(checkpoint: Path, reference: Callable[..., Any]) -> Any:
    return reference(checkpoint, "automatic-speech-recognition")


def expected(theirs: Any, samples: NDArray[np.float32], settings: Mapping[str, Any]) -> list[int]:
    """The tokens of `generate`, called as the pipeline calls it."""
    pipe = theirs.pipe
    features = pipe.feature_extractor(samples, sampling_rate=RATE, return_tensors="pt", return_attention_mask=True)
    with torch.no_grad():
        written: list[int] = pipe.model.generate(
            features[pipe.model.main_input_name],
            attention_mask=features["attention_mask"],
            **{"max_new_tokens": NEW, "num_beams": 5, **settings},
        )[0].tolist()
    return written


def heard(pipe: Any, samples: NDArray[np.float32], settings: Mapping[str, Any]) -> list[int]:
    """The same of ours, by the parts of the pipeline."""
    options = pipe._options(pipe.options, {"max_new_tokens": NEW, "generate_kwargs": dict(settings)})
    return list(pipe.compute(pipe.prepare(samples, options).samples, options)[0].ids)


def check(pipe: Any, theirs: Any, samples: NDArray[np.float32]) -> None:
    for settings in CALLS:
        assert heard(pipe, samples, settings) == expected(theirs, samples, settings), settings


@pytest.mark.parametrize("seconds", [0.3, 2.7])
def test_sounds_have_the_tokens_of_generate(pipe: Any, theirs: Any, seconds: float) -> None:
    check(pipe, theirs, sound(seconds))


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("seconds", [0.3, 0.55, 1.0, 1.9, 3.33, 5.0, 8.0])
def test_sounds_of_many_lengths_have_the_tokens_of_generate(pipe: Any, theirs: Any, seconds: float, seed: int) -> None:
    check(pipe, theirs, sound(seconds, seed))


def test_a_sound_has_the_text_of_the_pipeline(pipe: Any, theirs: Any) -> None:
    samples = sound(1.4, 5)
    for settings in ({}, {"num_beams": 1}):
        options = {"generate_kwargs": {"max_new_tokens": NEW, **settings}}
        assert pipe(samples, **options) == theirs(samples.copy(), **options)
    assert list(pipe.stream(samples, max_new_tokens=NEW)) == [pipe(samples, max_new_tokens=NEW)]


def test_a_sound_has_one_text_whatever_stands_beside_it(pipe: Any) -> None:
    sounds = [sound(seconds, number) for number, seconds in enumerate((0.4, 2.0, 0.4, 1.2, 0.4, 2.0))]
    alone = [pipe(samples, max_new_tokens=NEW) for samples in sounds]
    assert len({each["text"] for each in alone}) > 1
    assert pipe(sounds, max_new_tokens=NEW) == alone
    assert pipe(sounds[::-1], max_new_tokens=NEW, batch_size=3) == alone[::-1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"return_timestamps": True}, "return_timestamps.*no times"),
        ({"return_timestamps": "word"}, "return_timestamps.*no times"),
        ({"return_language": True}, "return_language"),
        ({"prompt": "names"}, "prompt"),
        ({"chunk_length_s": 30}, "chunk_length_s"),
        ({"stride_length_s": 5}, "stride_length_s"),
        ({"generate_kwargs": {"language": "german"}}, "language"),
        ({"generate_kwargs": {"num_return_sequences": 2}}, "num_return_sequences"),
    ],
)
def test_wrong_arguments_are_refused_by_name(pipe: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        pipe(sound(0.4), **options)


def test_shortest_sounds_have_silence_after_them(pipe: Any, theirs: Any) -> None:
    least = pipe.processor.settings.least
    shortest, samples = sound(0.3)[:least], sound(0.05)[: least // 2]
    check(pipe, theirs, shortest)
    padded = np.pad(samples, (0, least - len(samples)))
    assert heard(pipe, samples, {}) == heard(pipe, padded, {}) == expected(theirs, padded, {})


def test_sounds_of_more_than_ten_minutes_are_refused(pipe: Any) -> None:
    with pytest.raises(InputError, match="Cut it"):
        pipe(np.zeros(601 * RATE, np.float32))
