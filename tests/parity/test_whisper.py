"""Whisper against `generate` of transformers: tokens of every window, greedy and with beams; when words were spoken;
long sounds; what is heard alone and beside others."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir
import pytest
import soundfile
import torch
from numpy.typing import NDArray

from onnxpress import Cancel, Cancelled, InputError, pipeline
from onnxpress.generation.decoders.shared import SharedDecoder
from onnxpress.pipelines import progress_of_sound
from onnxpress.speech.windows import CutWindow, cut_windows
from onnxpress_exporter import export
from tests.fixtures.graphs import graph
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
    return [(list(segment.tokens), _rounded(segment.times)) for part in values[0].parts for segment in part.segments]


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


def test_a_long_sound_is_the_same_from_an_array_a_file_and_blocks(pipe: Any, tmp_path: Path) -> None:
    samples = sound(5.0)
    path = tmp_path / "sound.wav"
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    (expected,) = pipe([samples], return_timestamps=True, max_new_tokens=NEW)
    assert pipe(str(path), return_timestamps=True, max_new_tokens=NEW) == expected
    blocks = {"blocks": np.array_split(samples, 13), "sampling_rate": RATE}
    assert pipe(blocks, return_timestamps=True, max_new_tokens=NEW) == expected
    once = {"blocks": iter(np.array_split(samples, 3)), "sampling_rate": RATE}
    (heard,) = pipe([once], return_timestamps=True, max_new_tokens=NEW)
    assert heard.seconds == expected.seconds == 5.0


@pytest.mark.parametrize("options", [{}, {"num_beams": 2}, {"return_timestamps": "word"}])
def test_cut_windows_have_the_texts_of_the_windows_heard_alone(pipe: Any, options: Mapping[str, Any]) -> None:
    """However many are heard side by side; their times are those of the sound."""
    samples = sound(7.0, 5)
    settings = {"num_beams": 1, "return_timestamps": True, "max_new_tokens": NEW, **options}
    windows = list(cut_windows(iter([samples]), RATE, 2 * RATE))
    assert len(windows) >= 4
    assert np.concatenate([window.samples for window in windows]).tobytes() == samples.tobytes()
    language = {"language": pipe(windows[0].samples, return_language=True, **settings)["chunks"][0]["language"]}
    alone = [pipe(w.samples, generate_kwargs=language, chunk_length_s=2, **settings) for w in windows]
    untimed = {**settings, "return_timestamps": None}
    texts = [pipe(w.samples, generate_kwargs=language, chunk_length_s=2, **untimed)["text"] for w in windows]
    assert pipe(samples, chunk_length_s=2, batch_size=3, **untimed) == {"text": "".join(texts)}
    chunks = [
        {**chunk, "timestamp": moved_times(chunk["timestamp"], window)}
        for window, result in zip(windows, alone, strict=True)
        for chunk in result["chunks"]
    ]
    for batch_size in (1, 3, None):
        whole = pipe(samples, chunk_length_s=2, batch_size=batch_size, **settings)
        assert whole["text"] == "".join(result["text"] for result in alone)
        assert whole["chunks"] == chunks
    assert list(pipe.stream(samples, chunk_length_s=2, batch_size=2, **settings)) == chunks
    other = sound(3.0, 6)
    both = pipe([other, samples], chunk_length_s=2, batch_size=4, **settings)
    assert both == [pipe(other, chunk_length_s=2, **settings), whole]


def moved_times(times: tuple[float | None, float | None], window: CutWindow) -> tuple[float | None, float | None]:
    """What is timed in a window, in the sound."""
    start, end = times
    assert start is not None and end is not None
    return round(start + window.start / RATE, 2), round(end + window.start / RATE, 2)


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
        ({"chunk_length_s": 0.5}, "1 to 2 seconds"),
        ({"vad": {"treshold": 0.2}}, "Did you mean threshold"),
        ({"vad": {"threshold": 2}}, "threshold"),
        ({"vad": 5}, "vad"),
        ({"vad": "not-there.onnx"}, "not-there.onnx"),
        ({"chunk_length_s": 2, "generate_kwargs": {"condition_on_prev_tokens": True}}, "condition_on_prev_tokens"),
        ({"generate_kwargs": {"temperature": -1}}, "temperature"),
    ],
)
def test_wrong_arguments_are_refused_by_name(pipe: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        pipe(sound(0.2), **options)


@pytest.mark.parametrize("options", [{"num_beams": 1}, {"num_beams": 2}, {"num_beams": 1, "chunk_length_s": 2}])
def test_a_call_is_cancelled_within_a_token(
    pipe: Any, options: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After `cancel` the decoder is not asked for another token, of a call, a list and a stream."""
    step, steps = SharedDecoder.step, []
    cancel = Cancel()

    def counted(decoder: Any, *arguments: Any, **more: Any) -> Any:
        steps.append(len(steps))
        if len(steps) == 5:
            cancel.cancel()
        return step(decoder, *arguments, **more)

    monkeypatch.setattr(SharedDecoder, "step", counted)
    samples = sound(6.0)
    calls: tuple[Callable[..., Any], ...] = (
        pipe,
        lambda item, **more: pipe([item, item], **more),
        lambda item, **more: list(pipe.stream(item, **more)),
    )
    for call in calls:
        steps.clear()
        cancel = Cancel()
        with pytest.raises(Cancelled):
            call(samples, cancel=cancel, max_new_tokens=NEW, **options)
        assert len(steps) == 5


def test_blocks_that_never_end_are_heard_while_they_come(pipe: Any) -> None:
    def blocks() -> Iterator[NDArray[np.float32]]:
        while True:
            yield sound(1.0)

    for options in ({}, {"chunk_length_s": 2, "batch_size": 2}):
        stream = pipe.stream({"blocks": blocks(), "sampling_rate": RATE}, max_new_tokens=NEW, num_beams=1, **options)
        chunks = [next(stream) for _ in range(5)]
        starts = [chunk["timestamp"][0] for chunk in chunks]
        assert starts == sorted(starts)
        stream.close()


def test_progress_is_in_seconds_of_sound(pipe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    moves: list[float] = []
    monkeypatch.setattr(progress_of_sound.SecondsBar, "moved", lambda bar, seconds: moves.append(seconds))
    samples, options = sound(5.0), {"max_new_tokens": NEW, "num_beams": 1, "progress": True}
    pipe(samples, **options)
    assert len(moves) >= 3 and sum(moves) == pytest.approx(5.0)
    moves.clear()
    list(pipe.stream(samples, chunk_length_s=2, **options))
    assert len(moves) >= 3 and sum(moves) == pytest.approx(5.0)
    moves.clear()
    pipe(samples, chunk_length_s=2, **{**options, "progress": False})
    assert sum(moves) == pytest.approx(5.0)  # told, and not drawn


def test_silence_is_left_out_with_a_listener_for_voices(pipe: Any, tmp_path: Path) -> None:
    """By silero's model as well, which a file of its shape stands for."""
    options = {"max_new_tokens": NEW, "num_beams": 1, "return_timestamps": True}
    assert pipe(np.zeros(5 * RATE, np.float32), vad=True, **options) == {"text": "", "chunks": []}
    model = write_silero(tmp_path / "silero_vad.onnx")
    said = sound(1.2)
    samples = np.concatenate([np.zeros(4 * RATE, np.float32), said, np.zeros(4 * RATE, np.float32)])
    result = pipe(samples, vad={"model": str(model), "pad": 0.1}, **options)
    assert result["text"]
    times = [time for chunk in result["chunks"] for time in chunk["timestamp"]]
    assert all(3.8 <= time <= 5.4 for time in times), times
    with pytest.raises(InputError, match="takes pixels and returns"):
        pipe(said, vad=write_other(tmp_path / "other.onnx"))


def write_silero(path: Path) -> Path:
    """A voice is what is louder than a tenth."""
    model = graph(
        """silero (float[N, S] input, float[2, N, 128] state, int64 sr) => (float[N, 1] output, float[2, N, 128] stateN)
        { size = Abs(input) top = ReduceMax<keepdims = 1>(size, axes) loud = Greater(top, least)
          output = Cast<to = 1>(loud) stateN = Identity(state) }""",
        axes=np.array([1]),
        least=np.float32(0.1),
    )
    onnx_ir.save(model, path)
    return path


def write_other(path: Path) -> Path:
    onnx_ir.save(graph("other (float[N] pixels) => (float[N] labels) { labels = Abs(pixels) }"), path)
    return path
