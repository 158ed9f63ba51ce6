"""Streams of every task: a source may wait for its answers, bad inputs cost their neighbours nothing and are named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import onnxpress
from onnxpress import InputError
from onnxpress.pipelines import TASKS
from tests.fixtures.colours import write_colours
from tests.fixtures.finding import write_finder
from tests.fixtures.map_artifacts import write_map_artifact
from tests.fixtures.speaking import write_speaker
from tests.fixtures.tiny_askers import tiny_vilt
from tests.fixtures.tiny_detectors import tiny_detector
from tests.fixtures.tiny_documents import tiny_layoutlmv3
from tests.fixtures.tiny_pictures import tiny_picture_checkpoint

GOLDEN = Path(__file__).parents[1] / "golden"
WORDS = ("a good film", "bad", "the cat sat on the mat near the old house", "very good", "a dog")
QUESTIONS = [{"question": "Who?", "context": text} for text in WORDS]
CHOICES = [{"prompt": text, "choices": ["a cat", "a dog"]} for text in WORDS]
QUERIES = [{"query": text, "documents": ["a cat", "a dog and a cat"]} for text in WORDS]
PICTURES = [np.full((8 + n, 9, 3), 40 * n, np.uint8) for n in range(5)]
ASKED = [{"image": picture, "question": text} for picture, text in zip(PICTURES, WORDS, strict=True)]
PAGES = [
    {
        "image": picture,
        "question": "Who?",
        "word_boxes": [(word, [9 * n, 0, 9 * n + 8, 9]) for n, word in enumerate(text.split())],
    }
    for picture, text in zip(PICTURES, WORDS, strict=True)
]
SOUNDS = [np.random.default_rng(n).uniform(-0.5, 0.5, 5_000 + 900 * n).astype(np.float32) for n in range(5)]
NEW = {"max_new_tokens": 3, "do_sample": False}

#: task -> inputs, one that is none, and the options of a call.
CALLS: dict[str, tuple[list[Any], Any, dict[str, Any]]] = {
    "text-classification": ([*WORDS], None, {}),
    "token-classification": ([*WORDS], 7, {}),
    "question-answering": (QUESTIONS, {"question": "Who?", "context": ""}, {}),
    "fill-mask": ([f"{text} [MASK]" for text in WORDS], "no mask", {"top_k": 2}),
    "multiple-choice": (CHOICES, {"prompt": "x"}, {}),
    "zero-shot-classification": ([*WORDS], "", {"candidate_labels": ["good", "bad", "dull"]}),
    "feature-extraction": ([*WORDS], b"bytes", {"return_tensors": "np"}),
    "sentence-similarity": ([*WORDS], None, {}),
    "text-ranking": (QUERIES, {"query": "x", "documents": ["y", 5]}, {}),
    "text-generation": ([*WORDS], 5, NEW),
    "text2text-generation": ([*WORDS], None, NEW),
    "summarization": ([*WORDS], None, NEW),
    "translation": ([*WORDS], None, NEW),
    "audio-classification": (SOUNDS, b"no sound", {}),
    "automatic-speech-recognition": (SOUNDS, b"no sound", {"return_timestamps": "char"}),
    "zero-shot-audio-classification": (SOUNDS, b"no sound", {"candidate_labels": "red, blue"}),
    "text-to-audio": ([*WORDS], 7, {}),
    "image-classification": (PICTURES, b"no picture", {}),
    "object-detection": (PICTURES, b"no picture", {"threshold": 0.0}),
    "zero-shot-image-classification": (PICTURES, b"no picture", {"candidate_labels": "red, blue"}),
    "zero-shot-object-detection": (PICTURES, {"image": 7}, {"candidate_labels": "red,blue", "threshold": 0.0}),
    "image-feature-extraction": (PICTURES, "no file", {"return_tensors": "np"}),
    "image-to-text": (PICTURES, b"no picture", NEW),
    "document-question-answering": (PAGES, {"question": "Who?"}, {}),
    "visual-question-answering": (ASKED, {"image": b"no picture", "question": "what"}, {}),
    "image-segmentation": (PICTURES, b"no picture", {}),
    "mask-generation": (PICTURES, b"no picture", {"points_per_crop": 2, "crops_n_layers": 1}),
    "depth-estimation": (PICTURES, 7, {}),
    "image-to-image": (PICTURES, "no file", {}),
}


@pytest.fixture(scope="module")
def opened(
    tiny: Callable[..., Path],
    trained: Callable[[str], Path],
    describer: Callable[[str], Path],
    chooser: Path,
    ours: Callable[..., Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., Any]:
    """`opened(task)` -> a pipeline for it, of an artifact that other files test, too: none is exported for this one."""

    @cache
    def make(task: str) -> Any:
        match task:
            case "text-generation":
                return onnxpress.pipeline(model=GOLDEN / "3-decoder" / "artifact", threads=1)
            case "text2text-generation" | "summarization" | "translation":
                return onnxpress.pipeline(task, GOLDEN / "3-translator" / "artifact", threads=1)
            case "sentence-similarity":
                return onnxpress.pipeline(model=GOLDEN / "4-embedder" / "artifact", threads=1)
            case "audio-classification":
                return ours(trained("tiny-sounds-ast"), task)
            case "automatic-speech-recognition":
                return ours(trained("tiny-words-ctc"), task)
            case "image-classification":
                return ours(trained("tiny-digits-vit"), task)
            case "image-feature-extraction":
                folder = tmp_path_factory.mktemp(task) / "vit"
                return ours(tiny_picture_checkpoint("vit", folder, "Model"), task)
            case "visual-question-answering":
                return ours(tiny_vilt(tmp_path_factory.mktemp("vilt") / "checkpoint"), task)
            case "document-question-answering":
                return ours(tiny_layoutlmv3(tmp_path_factory.mktemp("layoutlmv3") / "checkpoint"), task)
            case "object-detection":
                return ours(tiny_detector("yolos", tmp_path_factory.mktemp("detector") / "yolos"), task)
            case "image-to-text":
                return ours(describer("vit-gpt2"), task)
            case "image-segmentation" | "depth-estimation" | "image-to-image":
                kind = {"image-segmentation": "classes", "depth-estimation": "depth"}.get(task, "larger")
                return onnxpress.pipeline(
                    model=write_map_artifact(tmp_path_factory.mktemp(kind) / "a", kind), threads=1
                )
            case "mask-generation":
                return onnxpress.pipeline(model=write_finder(tmp_path_factory.mktemp(task) / "a"), threads=1)
            case "text-to-audio":
                return onnxpress.pipeline(model=write_speaker(tmp_path_factory.mktemp(task) / "a"), threads=1)
            case "zero-shot-classification":
                return ours(trained("tiny-nli"), task, "text-classification")
            case "text-ranking":
                return ours(trained("tiny-reranker"), task)
            case "token-classification":
                return ours(trained("tiny-ner"), task)
            case "multiple-choice":
                return ours(chooser, task)
        if task.startswith("zero-shot-"):
            folder = write_colours(tmp_path_factory.mktemp(task) / "colours", task)
            return onnxpress.pipeline(model=folder, threads=1)
        return ours(tiny("bert", task), task)

    return make


def alike(first: Any, second: Any) -> bool:
    """Whether two results are the same, scores within rounding."""
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(alike(first[key], second[key]) for key in first)
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(map(alike, first, second))
    if isinstance(first, (float, np.ndarray)):
        return np.allclose(first, second, atol=1e-4)
    return bool(first == second)


def test_every_task_is_here() -> None:
    assert CALLS.keys() == TASKS.keys()


@pytest.mark.parametrize("task", CALLS)
def test_a_source_may_wait_for_its_answers(task: str, opened: Callable[..., Any]) -> None:
    pipe, (inputs, _, options) = opened(task), CALLS[task]
    answers: list[Any] = []

    def source() -> Iterator[Any]:
        for number, item in enumerate(inputs):
            assert len(answers) == number, "an input was read before the one before it was answered"
            yield item

    for answer in pipe(source(), **options):
        answers.append(answer)  # noqa: PERF402 - the source looks at them
    assert len(answers) == len(inputs)
    assert alike(answers, list(pipe(iter(inputs), read_ahead=99, **options)))


@pytest.mark.parametrize("task", CALLS)
def test_a_bad_input_is_named_and_loses_no_result(task: str, opened: Callable[..., Any]) -> None:
    pipe, (inputs, bad, options) = opened(task), CALLS[task]
    expected = pipe(inputs, **options)
    rows = [*inputs[:2], bad, *inputs[2:], bad]
    for shape in (list, iter):
        answers = list(pipe(shape(rows), on_error="return", read_ahead=99, **options))
        for place in (5 + 1, 2):
            error = answers.pop(place)
            assert isinstance(error, InputError)
            assert error.index == place
        if task in ("text2text-generation", "summarization", "translation") and shape is iter:
            answers = [answer for (answer,) in answers]
        assert alike(answers, list(expected))
    results = pipe(iter(rows), read_ahead=99, **options)
    next(results), next(results)
    with pytest.raises(InputError, match=r"^inputs\[2\]: ") as caught:
        next(results)
    assert caught.value.index == 2
    with pytest.raises(InputError, match=r"^inputs\[2\]: "):
        pipe(rows, **options)


@pytest.mark.parametrize(
    ("task", "wrong"),
    [
        ("zero-shot-classification", {}),
        ("text-generation", {"num_beams": 0}),
        ("translation", {"temperature": -1.0, "do_sample": True}),
        ("question-answering", {"max_seq_len": 10_000}),
    ],
)
def test_options_that_are_wrong_for_any_input_are_no_inputs_error(
    task: str, wrong: dict[str, Any], opened: Callable[..., Any]
) -> None:
    pipe, (inputs, _, _) = opened(task), CALLS[task]
    for shape in (list, iter):
        with pytest.raises(InputError) as caught:
            pipe(shape(inputs), on_error="return", **wrong)
        assert caught.value.index is None
