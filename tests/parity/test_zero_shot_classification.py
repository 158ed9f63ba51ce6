"""zero-shot-classification against transformers: every form of call on a tiny checkpoint, any text on a trained one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import onnxpress
from onnxpress import ArtifactError, InputError
from tests.parity.alike import assert_alike, assert_json
from tests.parity.texts import SENTENCES, parity, texts

TASK = "zero-shot-classification"
LABELS = ["politics", "sport", "the weather", "food"]
LONG = "the quick brown fox jumps over the lazy dog " * 40

CALLS: tuple[tuple[str, tuple[Any, ...], dict[str, Any]], ...] = (
    ("labels by position", (SENTENCES[0], LABELS), {}),
    ("labels by name", (SENTENCES[0],), {"candidate_labels": LABELS}),
    ("labels with commas", (SENTENCES[0], "politics, sport ,, food"), {}),
    ("one label", (SENTENCES[0], "food"), {}),
    ("one label in a list", ([SENTENCES[0]], ["food"]), {}),
    ("a label twice", (SENTENCES[0], ["food", "sport", "food"]), {}),
    ("list", (list(SENTENCES[:5]), LABELS), {}),
    ("multi_label", (list(SENTENCES[5:9]), LABELS), {"multi_label": True}),
    ("template", (SENTENCES[1], LABELS), {"hypothesis_template": "It is about {0}, or {0}."}),
    ("template of a label alone", (SENTENCES[1], LABELS), {"hypothesis_template": "{}"}),
    ("an empty hypothesis", (SENTENCES[1], ["", "food"]), {"hypothesis_template": "{}"}),
    ("long text", (LONG, LABELS), {}),
    ("long texts", ([LONG, "a", LONG[9:]], LABELS), {"multi_label": True}),
    ("batch_size", (list(SENTENCES[9:]), LABELS), {"batch_size": 3}),
)


@pytest.fixture(scope="module")
def pipes(tiny: Callable[..., Path], ours: Callable[..., Any], reference: Callable[..., Any]) -> tuple[Any, Any]:
    checkpoint = tiny("bert", TASK)
    return ours(checkpoint, TASK), reference(checkpoint, TASK)


@pytest.mark.parametrize(("inputs", "options"), [c[1:] for c in CALLS], ids=[c[0] for c in CALLS])
def test_call(pipes: tuple[Any, Any], inputs: tuple[Any, ...], options: dict[str, Any]) -> None:
    obtained, expected = pipes[0](*inputs, **options), pipes[1](*inputs, **options)
    assert_alike(obtained, expected)
    assert_json(obtained)


@pytest.mark.parametrize(
    ("inputs", "options"),
    [
        (("a", []), {}),
        (("a", " , "), {}),
        (("a",), {}),
        (("", LABELS), {}),
        (("a", LABELS, LABELS), {}),
        (("a", LABELS), {"candidate_labels": LABELS}),
        (("a", LABELS), {"hypothesis_template": "no place"}),
        (("a", LABELS), {"hypothesis_template": "{label}"}),
        (("a", LABELS), {"hypothesis_template": "{} {}"}),
        (("a", LABELS), {"hypothesis_template": "{"}),
        (("a", LABELS), {"hypothesis_template": None}),
        ((5, LABELS), {}),
    ],
)
def test_what_transformers_refuses_is_an_input_error(
    pipes: tuple[Any, Any], inputs: tuple[Any, ...], options: dict[str, Any]
) -> None:
    with pytest.raises((ValueError, TypeError, KeyError, IndexError, AttributeError)):
        pipes[1](*inputs, **options)
    with pytest.raises(InputError):
        pipes[0](*inputs, **options)


def test_options_of_the_pipeline_are_defaults_of_the_call(
    tiny: Callable[..., Path], exported: Callable[..., Any], pipes: tuple[Any, Any]
) -> None:
    artifact = exported(tiny("bert", TASK), TASK)
    pipe = onnxpress.pipeline(TASK, artifact, candidate_labels="food, sport", multi_label=True)
    assert_alike(pipe(SENTENCES[0]), pipes[1](SENTENCES[0], ["food", "sport"], multi_label=True))
    assert_alike(pipe(SENTENCES[0], LABELS), pipes[1](SENTENCES[0], LABELS, multi_label=True))


def test_a_hypothesis_beyond_the_limit_is_refused(pipes: tuple[Any, Any]) -> None:
    with pytest.raises(InputError, match="hypothesis"):
        pipes[0]("fox", [LONG])


def test_a_model_without_entailment_is_refused(tiny: Callable[..., Path], exported: Callable[..., Any]) -> None:
    artifact = exported(tiny("bert", "text-classification"), "text-classification")
    with pytest.raises(ArtifactError, match="negative, neutral, positive"):
        onnxpress.pipeline(TASK, artifact)


@pytest.mark.parametrize("multi_label", [False, True])
def test_trained(
    multi_label: bool, trained: Callable[[str], Path], ours: Callable[..., Any], reference: Callable[..., Any]
) -> None:
    checkpoint = trained("tiny-nli")
    pipe, theirs = ours(checkpoint, TASK), reference(checkpoint, TASK)
    words = st.lists(st.sampled_from([*LABELS, "jazz", "天気", "🙂", "a b c"]), min_size=1, max_size=4, unique=True)

    @parity
    @given(text=texts(min_parts=1).filter(bool), labels=words)
    def check(text: str, labels: list[str]) -> None:
        obtained = pipe(text, labels, multi_label=multi_label)
        expected = theirs(text, labels, multi_label=multi_label)
        ours_by_label = dict(zip(obtained["labels"], obtained["scores"], strict=True))
        theirs_by_label = dict(zip(expected["labels"], expected["scores"], strict=True))
        assert obtained["sequence"] == text
        assert obtained["scores"] == sorted(obtained["scores"], reverse=True)
        assert ours_by_label == pytest.approx(theirs_by_label, abs=1e-4)
        if len(labels) > 1 and expected["scores"][0] - expected["scores"][1] > 1e-3:
            assert obtained["labels"][0] == expected["labels"][0]

    check()


def test_alone_in_a_batch_and_streamed(trained: Callable[[str], Path], ours: Callable[..., Any]) -> None:
    pipe = ours(trained("tiny-nli"), TASK)
    alone = [pipe(text, LABELS) for text in SENTENCES]
    assert_alike(pipe(list(SENTENCES), LABELS), alone, tolerance=1e-5)
    assert_alike(list(pipe(iter(SENTENCES), LABELS)), alone, tolerance=1e-5)
