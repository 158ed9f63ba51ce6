"""What text-classification takes and refuses, on an artifact made without torch."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

import onnxpress
from onnxpress import InputError
from onnxpress.pipelines.class_scores import function_name
from onnxpress.pipelines.text_classification import TextClassificationOptions
from onnxpress.pipelines.text_processor import strategy
from tests.fixtures.artifacts import write_artifact


class Named(Enum):
    SIGMOID = "sigmoid"
    ONLY_FIRST = "only_first"


def test_functions() -> None:
    assert [function_name(value) for value in ("softmax", "NONE", Named.SIGMOID)] == ["softmax", "none", "sigmoid"]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (None, None),
        (False, None),
        ("do_not_truncate", None),
        (True, "longest_first"),
        ("only_second", "only_second"),
        (Named.ONLY_FIRST, "only_first"),
    ],
)
def test_strategies(given: Any, kept: str | None) -> None:
    assert strategy(given) == kept


@pytest.mark.parametrize(
    "wrong",
    [
        {"top_k": -1},
        {"top_k": "all"},
        {"top_k": 1.5},
        {"function_to_apply": "default"},
        {"function_to_apply": 1},
        {"truncation": "left"},
        {"truncation": 1},
        {"max_length": 0},
        {"max_length": "9"},
    ],
)
def test_wrong_options(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        TextClassificationOptions(**wrong)


@pytest.fixture
def pipe(tmp_path: Path) -> Any:
    return onnxpress.pipeline(model=write_artifact(tmp_path / "artifact"))


WRONG_INPUTS: tuple[Any, ...] = (
    5,
    None,
    b"good",
    ["good", 3],
    [["a", "b"]],
    [("a", "b")],
    [["ab"]],
    [[["a", "b", "c"]]],
    {},
    {"txt": "a"},
    {"text": ["a"]},
    {"text": "a", "text_pair": 5},
    {"text": "a", "text_pairs": "b"},
    "lone \ud800",
)


@pytest.mark.parametrize("wrong", WRONG_INPUTS, ids=ascii)
def test_wrong_inputs(pipe: Any, wrong: Any) -> None:
    with pytest.raises(InputError):
        pipe(wrong)


def test_a_stream_is_read_as_it_is_needed(pipe: Any) -> None:
    read: list[int] = []

    def source() -> Iterator[str]:
        for number in range(100_000):
            read.append(number)
            yield "good film" if number % 2 else "bad film"

    results = pipe(source())
    assert read == []
    first = [next(results)["label"] for _ in range(4)]
    assert first == [pipe("bad film")[0]["label"], pipe("good film")[0]["label"]] * 2
    assert first[0] != first[1]
    assert len(read) < 20


def test_a_dataset_ends_where_its_length_says(pipe: Any) -> None:
    class Endless:
        def __len__(self) -> int:
            return 3

        def __getitem__(self, index: int) -> str:
            return "good"

    assert len(list(pipe(Endless()))) == 3


def test_an_unknown_argument_is_named(pipe: Any) -> None:
    with pytest.raises(InputError, match=r"no argument 'topk'. Did you mean 'top_k'.? It takes: .*top_k"):
        pipe("good", topk=1)


def test_a_pipeline_has_its_tokenizer(tmp_path: Path) -> None:
    pipe = onnxpress.pipeline(model=write_artifact(tmp_path / "artifact"))
    assert pipe.tokenizer.encode("good") == pipe.processor.tokenizer.encode("good").ids


def test_other_fields_of_a_row_are_left_alone(pipe: Any) -> None:
    rows = [{"text": "good", "label": 1, "idx": 7}, {"text": "bad", "text_pair": "a film", "label": 0}]
    assert pipe(rows) == pipe([{"text": "good"}, {"text": "bad", "text_pair": "a film"}])


def test_all_scores_as_transformers_4_gave_them(pipe: Any) -> None:
    [scores] = pipe("bad", return_all_scores=True)
    assert [item["label"] for item in scores] == ["good", "bad"]
    assert pipe(["bad"], return_all_scores=True) == [scores]
    assert pipe("bad", return_all_scores=False) == pipe("bad")
    assert pipe("bad", return_all_scores=True, top_k=1) == pipe("bad", top_k=1)
