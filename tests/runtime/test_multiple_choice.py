"""What multiple-choice takes, refuses and answers, on an artifact made without torch: a pair's logit counts "good"."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import onnxpress
from onnxpress import Artifact, InputError
from tests.fixtures.artifacts import seal, write_artifact

PROMPT = "a film"
CHOICES = ["bad", "very good good", "good", "bad film"]
SCORES = np.exp([0, 2, 1, 0]) / np.exp([0, 2, 1, 0]).sum()


@pytest.fixture(scope="module")
def pipe(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = write_artifact(tmp_path_factory.mktemp("choices") / "artifact")
    seal(folder, replace(Artifact.open(folder).manifest, task="multiple-choice"))
    return onnxpress.pipeline(model=folder)


def test_choices_come_best_first_and_equal_ones_in_their_order(pipe: Any) -> None:
    result = pipe(prompt=PROMPT, choices=CHOICES)
    assert [entry["index"] for entry in result] == [1, 2, 0, 3]
    assert [entry["choice"] for entry in result] == [CHOICES[entry["index"]] for entry in result]
    assert [entry["score"] for entry in result] == pytest.approx(SCORES[[1, 2, 0, 3]])
    assert pipe(PROMPT, CHOICES, top_k=2) == result[:2]


def test_the_prompt_counts_for_every_choice_alike(pipe: Any) -> None:
    assert pipe("good", ["a", "good"])[0]["score"] == pytest.approx(pipe("bad", ["a", "good"])[0]["score"])


def test_lists_and_streams_have_as_many_choices_as_they_like(pipe: Any) -> None:
    items = [
        {"prompt": PROMPT, "choices": CHOICES},
        {"prompt": PROMPT, "choices": ["good"]},
        {"prompt": "", "choices": [""]},
    ]
    alone = [pipe(item) for item in items]
    assert [len(result) for result in alone] == [4, 1, 1]
    assert alone[1] == [{"index": 0, "choice": "good", "score": 1.0}]
    assert pipe(items) == list(pipe(iter(items))) == alone


def test_a_long_pair_is_cut(pipe: Any) -> None:
    assert pipe(PROMPT, ["bad " * 100, "good"])[0]["index"] == 1
    assert pipe(PROMPT, CHOICES, max_length=9)[0]["index"] == 1


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ((PROMPT,), {}),
        ((PROMPT, []), {}),
        ((PROMPT, "one text"), {}),
        ((PROMPT, [1]), {}),
        ((3, ["a"]), {}),
        ((None, ["a"]), {}),
        (({"prompt": PROMPT},), {}),
        (({"promt": PROMPT, "choices": ["a"]},), {}),
        ((PROMPT, ["a"]), {"top_k": 0}),
        ((PROMPT, ["a"]), {"top_k": True}),
        ((PROMPT, ["a"]), {"max_length": 1.5}),
        ((PROMPT, ["a"]), {"question": "?"}),
    ],
)
def test_wrong_calls(pipe: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        pipe(*arguments, **options)


def test_other_fields_of_a_row_are_left_alone(pipe: Any) -> None:
    row = {"prompt": PROMPT, "choices": ["a", "b"]}
    assert pipe({**row, "label": 0, "id": "x"}) == pipe(row)
