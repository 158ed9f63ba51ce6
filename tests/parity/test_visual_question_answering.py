"""visual-question-answering against the model in transformers, in the schema of version 4's pipeline."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from onnxpress import InputError
from onnxpress_exporter.errors import UnsupportedCheckpoint
from tests.fixtures.tiny_askers import ANSWERS, tiny_vilt

QUESTIONS = ("what is this", "is it red ?", "the cat")


def pictures() -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    shapes = ((64, 64), (90, 70), (65, 180), (64, 64))
    return [rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in shapes]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_vilt(tmp_path_factory.mktemp("vilt") / "checkpoint")


@pytest.fixture(scope="module")
def pipe(checkpoint: Path, ours: Callable[..., Any]) -> Any:
    return ours(checkpoint, "visual-question-answering")


def expected(checkpoint: Path, rows: list[dict[str, Any]], top_k: int) -> list[list[dict[str, Any]]]:
    import torch
    from transformers import AutoImageProcessor, AutoTokenizer, ViltForQuestionAnswering

    model: Any = ViltForQuestionAnswering.from_pretrained(checkpoint).eval()
    processor: Any = AutoImageProcessor.from_pretrained(checkpoint, backend="pil")
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    answers = []
    for row in rows:
        texts = tokenizer(row["question"], return_tensors="pt")
        seen = processor(Image.fromarray(row["image"]), return_tensors="pt")
        with torch.no_grad():
            scores, ids = model(**texts, **seen).logits.sigmoid()[0].topk(top_k)
        pairs = zip(scores.tolist(), ids.tolist(), strict=True)
        answers.append([{"score": score, "answer": model.config.id2label[number]} for score, number in pairs])
    return answers


def alike(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> bool:
    scores = [[entry["score"] for entry in side] for side in (first, second)]
    return [entry["answer"] for entry in first] == [entry["answer"] for entry in second] and np.allclose(
        *scores, atol=1e-5
    )


def test_answers_are_those_of_the_model(pipe: Any, checkpoint: Path) -> None:
    rows = [{"image": picture, "question": text} for text in QUESTIONS for picture in pictures()]
    right = expected(checkpoint, rows, 5)
    assert all(map(alike, [pipe(row) for row in rows], right))
    assert all(map(alike, pipe(rows), right))
    assert all(map(alike, pipe(image=pictures(), question=list(QUESTIONS)), right))
    assert alike(pipe(pictures()[1], QUESTIONS[2], top_k=2), expected(checkpoint, [rows[9]], 2)[0])
    assert alike(pipe(image=pictures()[0], question=QUESTIONS[0], top_k=99), expected(checkpoint, rows[:1], 6)[0])
    assert {entry["answer"] for entry in pipe(rows[0], top_k=99)} == set(ANSWERS)


def test_an_answer_is_the_same_beside_others(pipe: Any) -> None:
    rows = [{"image": picture, "question": text} for picture in pictures() for text in (*QUESTIONS, QUESTIONS[0] * 2)]
    alone = [pipe(row) for row in rows]
    order = np.random.default_rng(2).permutation(len(rows))
    for size in (2, 5, 16):
        together = pipe([rows[place] for place in order], batch_size=size)
        assert all(alike(alone[place], answer) for place, answer in zip(order, together, strict=True))


@pytest.mark.parametrize(
    ("row", "options", "message"),
    [
        ("a text", {}, "takes"),
        ({"image": np.zeros((8, 8, 3), np.uint8)}, {}, "takes"),
        ({"image": np.zeros((8, 8, 3), np.uint8), "question": 7}, {}, "question must be a text"),
        ({"image": b"no picture", "question": "what"}, {}, "picture"),
        ({"image": np.zeros((64, 64, 3), np.uint8), "question": "the cat " * 40}, {}, "truncation=True"),
        ({"image": np.zeros((64, 64, 3), np.uint8), "question": "what"}, {"top_k": 0}, "top_k is 0"),
    ],
)
def test_what_is_refused(pipe: Any, row: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        pipe(row, **options)


def test_a_long_question_is_cut_where_it_may_be(pipe: Any) -> None:
    assert pipe(image=pictures()[0], question="the cat " * 40, truncation=True)


def test_a_model_that_draws_lots_is_refused(tmp_path: Path) -> None:
    from onnxpress_exporter import export

    checkpoint = tiny_vilt(tmp_path / "checkpoint", max_image_length=20)
    with pytest.raises(UnsupportedCheckpoint, match="Set max_image_length to -1"):
        export(checkpoint, tmp_path / "artifact")
