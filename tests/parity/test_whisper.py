"""Whisper against `generate` of transformers: tokens of every window, greedy and with beams; when words were spoken;
long sounds; what is heard alone and beside others."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from onnxpress import InputError, pipeline
from onnxpress_exporter import export
from tests.fixtures.tiny_sounds import tiny_whisper

RATE, NEW = 16_000, 20

#: The token before earlier text, and three letters.
PROMPT = (264, 65, 66, 67)

SHORT: tuple[Mapping[str, Any], ...] = (
    {},
    {"num_beams": 1, "language": "german"},
    {"num_beams": 1, "task": "translate"},
)
TIMED: tuple[Mapping[str, Any], ...] = (
    {},
    {"num_beams": 1},
    {"num_beams": 1, "condition_on_prev_tokens": True, "prompt_ids": PROMPT},
    {"num_beams": 2, "condition_on_prev_tokens": True},
    {"num_beams": 1, "logprob_threshold": -1.5, "no_speech_threshold": 0.002, "compression_ratio_threshold": 1.35},
    {"num_beams": 3, "logprob_threshold": -1.5, "no_speech_threshold": 0.002},
)


def sound(seconds: float, seed: int = 0) -> NDArray[np.float32]:
    generator = np.random.default_rng(seed)
    time = np.arange(int(RATE * seconds)) / RATE
    tone = np.sin(2 * np.pi * (200 + 300 * generator.random()) * time * (1 + 0.3 * np.sin(2 * time)))
    return (0.3 * tone + 0.05 * generator.standard_normal(len(time))).astype(np.float32)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_whisper(tmp_path_factory.mktemp("whisper") / "checkpoint")


@pytest.fixture(scope="module")
def pipe(checkpoint: Path, ours: Callable[..., Any]) -> Any:
    return ours(checkpoint, "automatic-speech-recognition")


@pytest.fixture(scope="module")
def theirs(checkpoint: Path, reference: Callable[..., Any]) -> Any:
    return reference(checkpoint, "automatic-speech-recognition").pipe


def expected(theirs: Any, samples: NDArray[np.float32], **settings: Any) -> list[tuple[list[int], float, Any]]:
    """Of each segment: its tokens, where it begins, and when each token was spoken."""
    extractor = theirs.feature_extractor
    whole = {"truncation": False, "padding": "longest"} if len(samples) > extractor.n_samples else {}
    more = {"sampling_rate": RATE, "return_tensors": "pt", "return_attention_mask": True}
    settings = {"max_new_tokens": NEW, "num_beams": 5, **settings}
    if "prompt_ids" in settings:
        settings["prompt_ids"] = torch.tensor(settings["prompt_ids"])
    if "logprob_threshold" in settings:
        settings["temperature"] = 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        features = extractor(samples, **more, **whole)
        written = theirs.model.generate(
            features.input_features, attention_mask=features.attention_mask, return_segments=True, **settings
        )
    return [
        (segment["tokens"].tolist(), float(segment["start"]), _rounded(segment.get("token_timestamps")))
        for segment in written["segments"][0]
    ]


def heard(pipe: Any, samples: NDArray[np.float32], times: Any, **settings: Any) -> list[tuple[list[int], Any]]:
    """The same of ours, by the parts of the pipeline."""
    options = pipe._options(
        pipe.options, {"max_new_tokens": NEW, "return_timestamps": times, "generate_kwargs": settings}
    )
    values = pipe.compute(pipe.prepare(samples, options).samples, options)
    return [(list(segment.tokens), _rounded(segment.times)) for segment in values[0].sound.segments]


def _rounded(times: Any) -> list[float] | None:
    return None if times is None else [round(float(time), 2) for time in times]


@pytest.mark.parametrize("seconds", [0.1])
def test_windows_have_the_tokens_of_generate(pipe: Any, theirs: Any, seconds: float) -> None:
    samples = sound(seconds)
    for settings in SHORT:
        assert [ids for ids, _ in heard(pipe, samples, None, **settings)] == [
            ids for ids, *_ in expected(theirs, samples, **settings)
        ], settings


def test_long_sounds_have_the_tokens_of_generate(pipe: Any, theirs: Any) -> None:
    check_long(pipe, theirs, sound(3.1))


def check_long(pipe: Any, theirs: Any, samples: NDArray[np.float32]) -> None:
    for settings in TIMED:
        segments = expected(theirs, samples, return_timestamps=True, **settings)
        assert [ids for ids, _ in heard(pipe, samples, True, **settings)] == [ids for ids, *_ in segments], settings


@pytest.mark.nightly
@pytest.mark.parametrize("seconds", [0.1, 0.7, 2.0, 2.5, 7.3, 15.0, 40.0, 95.0])
def test_sounds_of_many_lengths_have_the_tokens_of_generate(pipe: Any, theirs: Any, seconds: float) -> None:
    check_long(pipe, theirs, sound(seconds, 1))


@pytest.mark.parametrize("beams", [1, 5])
def test_words_have_the_times_of_generate(pipe: Any, theirs: Any, beams: int) -> None:
    samples = sound(3.1)
    segments = expected(theirs, samples, return_timestamps=True, return_token_timestamps=True, num_beams=beams)
    assert heard(pipe, samples, "word", num_beams=beams) == [(ids, times) for ids, _, times in segments]


@pytest.mark.nightly
@pytest.mark.parametrize("layout", ["optimum", "transformers.js"])
def test_words_have_the_times_of_generate_in_the_layouts_of_other_tools(
    checkpoint: Path, theirs: Any, tmp_path: Path, layout: str
) -> None:
    export(checkpoint, tmp_path / "artifact", layout=layout)
    with pipeline(model=tmp_path / "artifact") as other:
        for beams in (1, 5):
            segments = expected(
                theirs, sound(3.1), return_timestamps=True, return_token_timestamps=True, num_beams=beams
            )
            assert heard(other, sound(3.1), "word", num_beams=beams) == [(ids, times) for ids, _, times in segments]


def test_a_sound_has_one_text_whatever_stands_beside_it(pipe: Any) -> None:
    sounds = [sound(seconds, number) for number, seconds in enumerate((0.4, 5.0, 1.2, 2.9))]
    alone = [pipe(samples, return_timestamps=True, max_new_tokens=NEW) for samples in sounds]
    assert pipe(sounds, return_timestamps=True, max_new_tokens=NEW) == alone
    assert pipe(sounds[::-1], return_timestamps=True, max_new_tokens=NEW, batch_size=3) == alone[::-1]


def test_what_falls_short_is_drawn_again_the_same_for_a_seed(pipe: Any) -> None:
    sounds = [sound(seconds, number) for number, seconds in enumerate((0.4, 2.9))]

    def drawn(some: Any, seed: int) -> Any:
        # No text is so likely: every temperature is tried, and the last one's text stays.
        kwargs = {"temperature": (0.0, 0.6, 1.0), "logprob_threshold": -0.01, "seed": seed}
        return pipe(some, max_new_tokens=NEW, generate_kwargs=kwargs)

    texts = drawn(sounds, 3)
    assert drawn(sounds, 3) == texts == [drawn(samples, 3) for samples in sounds]
    assert drawn(sounds, 4) != texts != pipe(sounds, max_new_tokens=NEW, generate_kwargs={"num_beams": 1})


def test_a_window_in_which_nothing_is_said_has_no_text(pipe: Any) -> None:
    # Every window is unlikely to hold speech by these.
    silent = {"logprob_threshold": 0.0, "no_speech_threshold": 0.0, "num_beams": 1}
    nothing = {"text": "", "chunks": []}
    assert pipe(sound(2.9), return_timestamps=True, max_new_tokens=NEW, generate_kwargs=silent) == nothing


def test_chunks_come_as_they_are_known_and_times_do_not_go_back(pipe: Any) -> None:
    samples = sound(7.3)
    whole = pipe(samples, return_timestamps=True, return_language=True, max_new_tokens=NEW)
    assert list(pipe.stream(samples, return_language=True, max_new_tokens=NEW)) == whole["chunks"]
    starts = [chunk["timestamp"][0] for chunk in whole["chunks"]]
    assert starts == sorted(starts)
    assert {chunk["language"] for chunk in whole["chunks"]} <= {"english", "german", "chinese"}
    assert "".join(chunk["text"] for chunk in whole["chunks"]) == whole["text"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"generate_kwargs": {"language": "klingon"}}, "No language"),
        ({"generate_kwargs": {"task": "sing"}}, "task"),
        ({"generate_kwargs": {"no_speech_threshold": 0.5}}, "logprob_threshold"),
        ({"return_timestamps": "char"}, "return_timestamps"),
        ({"chunk_length_s": 30}, "chunk_length_s"),
        ({"generate_kwargs": {"temperature": -1}}, "temperature"),
    ],
)
def test_wrong_arguments_are_refused_by_name(pipe: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        pipe(sound(0.2), **options)
