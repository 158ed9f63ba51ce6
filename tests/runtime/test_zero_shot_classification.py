"""What zero-shot-classification's options take and refuse."""

from __future__ import annotations

from typing import Any

import pytest

from onnxpress import InputError
from onnxpress.pipelines.zero_shot_classification import ZeroShotOptions


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("a, b ,,c", ("a", "b", "c")),
        ("", ()),
        (["a, b"], ("a, b",)),
        (("a", "a"), ("a", "a")),
        (iter(["a", "b"]), ("a", "b")),
        ([1, 2.5, True], (1, 2.5, True)),
        (range(2), (0, 1)),
    ],
)
def test_labels(given: Any, kept: tuple[str, ...]) -> None:
    assert ZeroShotOptions(candidate_labels=given).candidate_labels == kept


@pytest.mark.parametrize("wrong", [None, 5, [None], [["a"]], [b"a"]])
def test_wrong_labels(wrong: Any) -> None:
    with pytest.raises(InputError, match="candidate_labels must be strings or numbers"):
        ZeroShotOptions(candidate_labels=wrong)


def test_hypotheses() -> None:
    options = ZeroShotOptions(
        candidate_labels=["a {b}", "c"], hypothesis_template="About {}: {0}?".replace("{0}", "{{x}}")
    )
    assert options.hypotheses() == ["About a {b}: {x}?", "About c: {x}?"]


@pytest.mark.parametrize("wrong", ["", "none", "{label}", "{} {}", "{", "{{}}", "{0.a}", None, 5])
def test_wrong_templates(wrong: Any) -> None:
    with pytest.raises(InputError, match="hypothesis_template"):
        ZeroShotOptions(hypothesis_template=wrong)


def test_numbers_stand_in_the_sentence_and_come_back_as_numbers() -> None:
    assert ZeroShotOptions(candidate_labels=[1, 2.5]).hypotheses() == ["This example is 1.", "This example is 2.5."]
