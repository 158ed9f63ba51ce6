"""text-classification against transformers: every form of call on tiny checkpoints, any text on trained ones."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

import onnxpress
from onnxpress import Artifact
from tests.parity.alike import assert_alike, assert_json, assert_ranked_alike
from tests.parity.texts import SENTENCES, parity, texts

TASK = "text-classification"
LONG = "the quick brown fox jumps over the lazy dog " * 40
PAIR = {"text": "the fox", "text_pair": "over the lazy dog"}

CALLS: tuple[tuple[str, Any, dict[str, Any]], ...] = (
    ("text", "good movie", {}),
    ("empty text", "", {}),
    ("spaces", " \t ", {}),
    ("list", ["good movie", "bad film"], {}),
    ("list of one", ["good movie"], {}),
    ("top_k 1", "good movie", {"top_k": 1}),
    ("top_k 1 of a list", ["good movie", "bad"], {"top_k": 1}),
    ("top_k 2", "good movie", {"top_k": 2}),
    ("top_k 0", ["good movie"], {"top_k": 0}),
    ("top_k beyond", "good movie", {"top_k": 99}),
    ("all labels", "good movie", {"top_k": None}),
    ("all labels of a list", ["good movie", "bad"], {"top_k": None}),
    ("the default, said", "good movie", {"top_k": ""}),
    ("pair", PAIR, {}),
    ("pair with an empty second", {"text": "the fox", "text_pair": ""}, {}),
    ("mapping without pair", {"text": "the fox"}, {}),
    ("list of pairs", [PAIR, {"text": "a"}], {"top_k": None}),
    ("old form of a pair", [[["the fox", "is a dog"]]], {}),
    ("none", "good movie", {"function_to_apply": "none", "top_k": None}),
    ("softmax", "good movie", {"function_to_apply": "softmax", "top_k": None}),
    ("sigmoid in capitals", "good movie", {"function_to_apply": "SIGMOID", "top_k": None}),
    ("truncation", LONG, {"truncation": True, "top_k": None}),
    ("max_length alone cuts", LONG, {"max_length": 7, "top_k": None}),
    ("max_length without truncation", "the quick brown fox", {"max_length": 4, "truncation": False, "top_k": None}),
    ("max_length is the padding", "the quick brown fox", {"max_length": 4, "padding": "max_length", "top_k": None}),
    ("only_first", {"text": LONG, "text_pair": "lazy"}, {"truncation": "only_first", "top_k": None}),
    ("only_second", {"text": "lazy", "text_pair": LONG}, {"truncation": "only_second", "top_k": None}),
    ("longest_first", {"text": LONG, "text_pair": LONG}, {"truncation": "longest_first", "top_k": None}),
    ("padding", ["the fox", "a"], {"padding": True, "top_k": None}),
    ("no special tokens", "the fox", {"add_special_tokens": False, "top_k": None}),
    ("batch_size", ["the fox", "a", "over the lazy dog"], {"batch_size": 2, "top_k": None}),
)


@pytest.fixture(scope="module")
def pipes(tiny: Callable[..., Path], ours: Callable[..., Any], reference: Callable[..., Any]) -> tuple[Any, Any]:
    checkpoint = tiny("bert", TASK)
    return ours(checkpoint, TASK), reference(checkpoint, TASK)


@pytest.mark.parametrize(("inputs", "options"), [c[1:] for c in CALLS], ids=[c[0] for c in CALLS])
def test_call(pipes: tuple[Any, Any], inputs: Any, options: dict[str, Any]) -> None:
    obtained, expected = pipes[0](inputs, **options), pipes[1](inputs, **options)
    assert_alike(obtained, expected)
    assert_json(obtained)


def test_enum_members_of_transformers_are_taken(pipes: tuple[Any, Any]) -> None:
    from transformers.pipelines.text_classification import ClassificationFunction
    from transformers.tokenization_utils_base import TruncationStrategy

    options = {"function_to_apply": ClassificationFunction.SIGMOID, "truncation": TruncationStrategy.LONGEST_FIRST}
    assert_alike(pipes[0](LONG, **options), pipes[1](LONG, **options))


def test_options_of_the_pipeline_are_defaults_of_the_call(
    tiny: Callable[..., Path], exported: Callable[..., Any], pipes: tuple[Any, Any]
) -> None:
    pipe = onnxpress.pipeline("sentiment-analysis", exported(tiny("bert", TASK), TASK), top_k=None, truncation=True)
    # `top_k` was not passed in this very call, so transformers wraps the list once more.
    assert_alike(pipe(LONG), [pipes[1](LONG, top_k=None, truncation=True)])
    assert_alike(pipe(LONG, top_k=1), pipes[1](LONG, top_k=1, truncation=True))


@pytest.mark.parametrize(
    ("task", "problem_type"),
    [
        (TASK, "regression"),
        (TASK, "multi_label_classification"),
        (TASK, "single_label_classification"),
        ("text-ranking", "regression"),  # an artifact with one label, which serves this task as well
        ("text-ranking", "multi_label_classification"),
        ("text-ranking", None),
    ],
)
def test_function_follows_the_problem_type(
    tiny: Callable[..., Path],
    exported: Callable[..., Artifact],
    reference: Callable[..., Any],
    tmp_path: Path,
    task: str,
    problem_type: str | None,
) -> None:
    # The graph is the same whatever the problem type, so one export serves: only the settings are changed.
    checkpoint = Path(shutil.copytree(tiny("bert", task), tmp_path / "checkpoint"))
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps({**config, "problem_type": problem_type}))
    artifact = exported(tiny("bert", task), task)
    postprocessing = replace(artifact.manifest.postprocessing, problem_type=problem_type)
    pipe = onnxpress.pipeline(
        TASK, replace(artifact, manifest=replace(artifact.manifest, postprocessing=postprocessing))
    )
    theirs = reference(checkpoint, TASK)
    for options in ({}, {"top_k": None}, {"function_to_apply": "sigmoid"}):
        assert_alike(pipe(list(SENTENCES[:4]), **options), theirs(list(SENTENCES[:4]), **options))


#: `test_function_follows_the_problem_type` shows of every problem type what the others show of a trained one.
TRAINED = [
    "tiny-sentiment",
    *(pytest.param(name, marks=pytest.mark.nightly) for name in ("tiny-topics-multilabel", "tiny-rating-regression")),
]


@pytest.mark.parametrize("name", TRAINED)
def test_trained(
    name: str, trained: Callable[[str], Path], ours: Callable[..., Any], reference: Callable[..., Any]
) -> None:
    checkpoint = trained(name)
    pipe, theirs = ours(checkpoint, TASK), reference(checkpoint, TASK)

    @parity
    @given(text=texts())
    def check(text: str) -> None:
        expected = theirs(text, top_k=None, truncation=True)
        assert_ranked_alike(pipe(text, top_k=None, truncation=True), expected)

    check()


@pytest.mark.parametrize("name", ["tiny-nli"])
def test_trained_on_pairs(
    name: str, trained: Callable[[str], Path], ours: Callable[..., Any], reference: Callable[..., Any]
) -> None:
    checkpoint = trained(name)
    pipe, theirs = ours(checkpoint, TASK, "zero-shot-classification"), reference(checkpoint, TASK)

    @settings(parity, max_examples=parity.max_examples // 3)
    @given(text=texts(), pair=texts(max_parts=4))
    def check(text: str, pair: str) -> None:
        inputs = {"text": text, "text_pair": pair}
        expected = theirs(inputs, top_k=None, truncation=True)
        assert_ranked_alike(pipe(inputs, top_k=None, truncation=True), expected)

    check()


def test_alone_in_a_batch_and_streamed(trained: Callable[[str], Path], ours: Callable[..., Any]) -> None:
    from transformers.pipelines.pt_utils import KeyDataset

    pipe = ours(trained("tiny-sentiment"), TASK)
    inputs = [*SENTENCES, "", *reversed(SENTENCES), " ".join(SENTENCES[:3])]
    alone = [pipe(text)[0] for text in inputs]
    rows = [{"text": text} for text in inputs]
    for result in (
        pipe(inputs),
        pipe(inputs, batch_size=1),
        pipe(inputs, batch_size=5),
        list(pipe(text for text in inputs)),
        list(pipe(KeyDataset(rows, "text"))),
    ):
        assert_alike(result, alone, tolerance=1e-5)
