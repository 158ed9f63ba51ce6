"""Answers that models write to questions about pictures, against transformers: `generate` of BLIP, as the pipeline of
version 4 calls it, and the pipeline of documents for Donut."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from onnxpress import InputError
from onnxpress.generation.events import Generated
from onnxpress_exporter import export
from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.source.checkpoint import open_checkpoint
from onnxpress_exporter.tasks.loading import infer_task
from tests.fixtures.tiny_askers import tiny_blip_asked
from tests.fixtures.tiny_describers import DOCVQA, tiny_describer

QUESTIONS = ("what is it", "how many?", "is it red or not ?")
SETTINGS: tuple[Mapping[str, Any], ...] = ({}, {"num_beams": 3})
NEW = 12

Row = dict[str, Any]


def rows() -> list[Row]:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (40 + 9 * n, 60 - 5 * n, 3), dtype=np.uint8) for n in range(4)]
    return [{"image": picture, "question": text} for picture in pictures for text in QUESTIONS]


def check_alike(pipe: Any, theirs: Callable[..., list[Row]], settings: Mapping[str, Any]) -> list[list[Row]]:
    """Answers alone and in any batch; returns them."""
    expected = [theirs(row, **settings) for row in rows()]
    assert [pipe(row, max_new_tokens=NEW, **settings) for row in rows()] == expected
    order = np.random.default_rng(1).permutation(len(expected))
    for size in (2, 5):
        together = pipe([rows()[place] for place in order], max_new_tokens=NEW, batch_size=size, **settings)
        assert together == [expected[place] for place in order]
    return expected


@pytest.mark.nightly
def test_blip_answers_questions(tmp_path: Path, ours: Callable[..., Any]) -> None:
    import torch
    from transformers import AutoImageProcessor, AutoTokenizer, BlipForQuestionAnswering

    checkpoint = tiny_blip_asked(tmp_path / "checkpoint")
    model: Any = BlipForQuestionAnswering.from_pretrained(checkpoint).eval()
    tokenizer: Any = AutoTokenizer.from_pretrained(checkpoint)
    processor: Any = AutoImageProcessor.from_pretrained(checkpoint, backend="pil")

    def theirs(row: Row, **settings: Any) -> list[Row]:
        asked = tokenizer(row["question"], return_tensors="pt")
        pixels = processor(Image.fromarray(row["image"]), return_tensors="pt").pixel_values
        with torch.no_grad():
            ids = model.generate(
                input_ids=asked.input_ids,
                attention_mask=asked.attention_mask,
                pixel_values=pixels,
                max_new_tokens=NEW,
                do_sample=False,
                **settings,
            )
        return [{"answer": tokenizer.decode(text, skip_special_tokens=True).strip()} for text in ids]

    pipe = ours(checkpoint, "visual-question-answering")
    for settings in (*SETTINGS, {"num_beams": 3, "num_return_sequences": 2}):
        answers = check_alike(pipe, theirs, settings)
    assert len({str(answer) for answer in answers}) > len(QUESTIONS)
    (detailed,) = pipe(image=rows()[0]["image"], question=QUESTIONS[0], max_new_tokens=3, return_details=True, top_k=1)
    assert detailed["prompt_tokens"] == 1 and detailed["completion_tokens"] <= 3
    with pytest.raises(InputError, match="top_k is 0"):
        pipe(rows()[0], top_k=0)
    with pytest.raises(InputError, match="takes"):
        pipe({"image": rows()[0]["image"]})


@pytest.mark.nightly
def test_donut_answers_questions_about_documents(tmp_path: Path, ours: Callable[..., Any]) -> None:
    """With random weights its answers seldom come to an end; what it writes is compared by another task of the same
    graphs."""
    from transformers import AutoImageProcessor, pipeline

    checkpoint = tiny_describer(DOCVQA, tmp_path / "checkpoint")
    reference: Any = pipeline(
        "document-question-answering",  # type: ignore[call-overload]
        model=str(checkpoint),
        image_processor=AutoImageProcessor.from_pretrained(checkpoint, backend="pil"),
    )

    def theirs(row: Row, **settings: Any) -> list[Row]:
        reference._generate_kwargs = {"max_new_tokens": NEW, **settings}  # those of a call it does not look at
        answers: list[Row] = reference(image=Image.fromarray(row["image"]), question=row["question"])
        return answers

    assert infer_task(open_checkpoint(checkpoint)) == "document-question-answering"
    pipe = ours(checkpoint, "document-question-answering")
    for settings in SETTINGS:
        check_alike(pipe, theirs, settings)
    assert pipe(**rows()[0], word_boxes=[], max_seq_len=9, max_new_tokens=2) == [{"answer": None}]
    for end, answer in (("</s_answer>", "a 12"), ("", None)):
        assert _answer(pipe, f" a 12 {end}") == answer


def _answer(pipe: Any, written: str) -> Any:
    """What is answered where the model has written this."""
    tokenizer = pipe.processor.tokenizer
    prompt = tokenizer.encode("<s_docvqa><s_question>what?</s_question><s_answer>", special_tokens=False).ids
    ids = tokenizer.encode(written, special_tokens=False).ids
    (answer,) = pipe.finish(None, [(prompt, [Generated((*ids, 2), "stop", len(prompt))])], pipe.options)
    return answer["answer"]


def test_only_donut_is_asked_about_documents(describer: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(UnsupportedCheckpoint, match="sees with 'vit': of models that write about a picture only Donut"):
        export(describer("vit-gpt2"), tmp_path / "artifact", "document-question-answering")
