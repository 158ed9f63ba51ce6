"""document-question-answering against transformers' own pipeline."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onnxpress import InputError
from tests.fixtures.tiny_documents import DOCUMENT_MODELS

WORDS = ("the", "cat", "Ada", "lives", "Rome", "12.50", "été", "你好", "an-odd_word", "two words", "")
QUESTIONS = ("who is it", "what is the date, then ?")
CALLS: tuple[dict[str, Any], ...] = (
    {},
    {"top_k": 3},
    {"max_seq_len": 30, "doc_stride": 5, "top_k": 4},
    {"handle_impossible_answer": True, "top_k": 2},
    {"max_answer_len": 2, "top_k": 3, "max_seq_len": 40},
)


def page(count: int) -> list[tuple[str, list[int]]]:
    rng = np.random.default_rng(count)
    corners = np.sort(rng.integers(0, 1001, (count, 2, 2)), axis=1).reshape(-1, 4)
    return [(WORDS[int(rng.integers(len(WORDS)))] * int(rng.integers(1, 4)), box.tolist()) for box in corners]


def rows() -> list[dict[str, Any]]:
    return [{"question": text, "word_boxes": page(count)} for text in QUESTIONS for count in (3, 12, 60)]


def alike(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> bool:
    parts = [[{key: entry[key] for key in ("answer", "start", "end")} for entry in side] for side in (first, second)]
    scores = [[entry["score"] for entry in side] for side in (first, second)]
    return parts[0] == parts[1] and np.allclose(*scores, atol=1e-5)


@pytest.fixture(
    scope="module",
    params=[pytest.param(kind, marks=() if kind == "layoutlmv3" else pytest.mark.nightly) for kind in DOCUMENT_MODELS],
)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return DOCUMENT_MODELS[request.param](tmp_path_factory.mktemp(request.param) / "checkpoint")


@pytest.fixture(scope="module")
def pipe(checkpoint: Path, ours: Callable[..., Any]) -> Any:
    return ours(checkpoint, "document-question-answering")


def test_answers_are_those_of_transformers_alone_and_in_any_batch(pipe: Any, checkpoint: Path) -> None:
    from transformers import AutoTokenizer, pipeline

    theirs: Any = pipeline(
        "document-question-answering",  # type: ignore[call-overload]
        model=str(checkpoint),
        tokenizer=AutoTokenizer.from_pretrained(checkpoint),
    )
    order = np.random.default_rng(1).permutation(len(rows()))
    for options in CALLS:
        right = [theirs(dict(row), **options) for row in rows()]
        assert all(map(alike, [pipe(row, **options) for row in rows()], right)), options
        for size in (3, 16):
            together = pipe([rows()[place] for place in order], batch_size=size, **options)
            assert all(alike(right[place], answer) for place, answer in zip(order, together, strict=True)), options


def test_parts_may_be_named(pipe: Any) -> None:
    row = rows()[0]
    expected = pipe(row)
    assert pipe(None, row["question"], row["word_boxes"]) == expected
    assert pipe(question=row["question"], word_boxes=row["word_boxes"], image="any.png") == expected
    assert pipe({**row, "word_boxes": [[word, [float(x) for x in box]] for word, box in row["word_boxes"]]}) == expected
    assert pipe({**row, "word_boxes": []}) == []
    assert pipe({**row, "word_boxes": []}, handle_impossible_answer=True)[0]["answer"] == ""


@pytest.mark.parametrize(
    ("row", "options", "message"),
    [
        ("a text", {}, "takes"),
        ({"word_boxes": page(2)}, {}, "takes"),
        ({"question": "", "word_boxes": page(2)}, {}, "question must be a text"),
        ({"question": "who", "image": "page.png"}, {}, "no text is recognized here"),
        ({"question": "who", "word_boxes": "words"}, {}, "must be a list"),
        ({"question": "who", "word_boxes": ["Ada"]}, {}, r"word_boxes\[0\] must be"),
        ({"question": "who", "word_boxes": [("Ada", [0, 0, 1001, 5])]}, {}, "from 0 to 1000"),
        ({"question": "who", "word_boxes": [("Ada", [0, 0, 0.5, 5])]}, {}, "whole numbers"),
        ({"question": "who", "word_boxes": [("Ada", [9, 0, 5, 5])]}, {}, "x0 <= x1"),
        ({"question": "the cat " * 60, "word_boxes": page(2)}, {}, "leaves no room"),
        (rows()[2], {"max_seq_len": 999}, "at most 48"),
        (rows()[2], {"doc_stride": 47}, "smaller stride"),
        (rows()[0], {"top_k": 0}, "top_k is 0"),
        (rows()[0], {"doc_stride": -1}, "doc_stride is -1"),
    ],
)
def test_what_is_refused(pipe: Any, row: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        pipe(row, **options)
