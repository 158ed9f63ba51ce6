"""document-question-answering: the words of a document, each in its box, that answer a question; or what a model
writes that looks at the document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from onnxpress.format.manifest import Manifest
from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.judging import cells
from onnxpress_exporter.judging.cells import Cell
from onnxpress_exporter.judging.columns import PICTURES
from onnxpress_exporter.judging.figures import Answers, Figures, batch_disagreement, compare_spans
from onnxpress_exporter.judging.metrics import DOCUMENT, Evaluation
from onnxpress_exporter.judging.pictures import with_questions
from onnxpress_exporter.source.checkpoint import Checkpoint
from onnxpress_exporter.tasks.image_to_text import IMAGE_TO_TEXT
from onnxpress_exporter.tasks.outputs import span_logits
from onnxpress_exporter.tasks.postprocessing import no_postprocessing
from onnxpress_exporter.tasks.row import ExportTask, Head, Metric, Probes

_QUESTIONS = ("Who is mentioned?", "What is the date?", "What is the total?", "What is the title?")

#: Of a page, in thousandths of its edges: a letter's width, a space's, a line's height and the distance of two lines.
_LETTER, _SPACE, _LINE, _NEXT_LINE = 12, 8, 14, 20

#: An answer of no word at all, where a document has none.
_NOTHING: Mapping[str, Any] = {"start": 0, "end": 0, "score": 0.0, "answer": ""}


def _items(texts: Sequence[str], manifest: Manifest) -> list[dict[str, Any]]:
    return [
        {"question": _QUESTIONS[place % len(_QUESTIONS)], "word_boxes": list(_laid_out(text))}
        for place, text in enumerate(texts)
    ]


def _laid_out(text: str) -> Iterator[tuple[str, list[int]]]:
    """The words of a text in lines, from the left; below the last line the first one follows."""
    left, top = 50, 50
    for word in text.split():
        width = min(_LETTER * len(word), 900)
        if left + width > 950:
            left, top = 50, (top + _NEXT_LINE) % 950
        yield word, [left, top, left + width, top + _LINE]
        left += width + _SPACE


def _compare(reference: Answers, answers: Answers) -> Figures:
    return compare_spans(*([row[0] if row else _NOTHING for row in side] for side in (reference, answers)))


def _evaluation(name: str, rows: Sequence[Mapping[str, Cell]], manifest: Manifest) -> Evaluation:
    items = []
    for row in rows:
        words = cells.several(row["words"], lambda cell: cells.text(cell, empty=True), "words")
        boxes = cells.several(row["boxes"], lambda cell: cells.several(cell, cells.whole, "corners"), "boxes")
        if len(words) != len(boxes):
            row["boxes"].fail(f"a box for each of the {len(words)} words")
        items.append({"question": cells.text(row["question"]), "word_boxes": list(zip(words, boxes, strict=True))})
    targets = [cells.answers(row["answers"]) for row in rows]
    # Where some questions have no answer, the model may say so.
    options = {} if all(targets) else {"handle_impossible_answer": True}
    return Evaluation(name, DOCUMENT, items, targets, options)


_NAME = "document-question-answering"
_QUESTION, _ANSWERS = ("question", "query"), ("answers", "answer")


def _looked_up(name: str, rows: Sequence[Mapping[str, Cell]], manifest: Manifest) -> Evaluation:
    """Evaluate what is written greedily of the picture of a document."""
    items = [{"image": cells.picture(row["image"]), "question": cells.text(row["question"])} for row in rows]
    targets = [cells.answers(row["answers"]) for row in rows]
    return Evaluation(name, DOCUMENT, items, targets, {"do_sample": False, "num_beams": 1})


#: The task of Donut's that were trained for it, by the token that their prompts begin with.
_BEGINS_WITH = '"<s_docvqa>"'


def _is_asked(checkpoint: Checkpoint) -> bool:
    """Whether a checkpoint that writes about pictures knows the token that questions about documents begin with."""
    if checkpoint.architecture != "VisionEncoderDecoderModel":
        return False
    files = [checkpoint.tokenizer_folder / name for name in ("added_tokens.json", "tokenizer.json")]
    return any(_BEGINS_WITH in file.read_text(encoding="utf-8") for file in files if file.is_file())


def _check_kind(checkpoint: Checkpoint) -> None:
    """Raise UnsupportedCheckpoint of what transformers' pipeline refuses, too."""
    encoder = checkpoint.config.get("encoder")
    seeing = encoder.get("model_type") if isinstance(encoder, Mapping) else None
    if seeing != "donut-swin":
        raise UnsupportedCheckpoint(
            f"{checkpoint.source} sees with {seeing!r:.60}: of models that write about a picture only Donut is asked "
            f"about documents. Export it for {IMAGE_TO_TEXT.name}."
        )


#: Of models that look at the document and write the answer.
_WRITTEN = ExportTask(
    name=_NAME,
    head=IMAGE_TO_TEXT.head,
    takes="image",
    outputs=None,
    postprocessing=no_postprocessing,
    probes=Probes(),
    items=lambda material, manifest: with_questions(material),
    compare=IMAGE_TO_TEXT.compare,
    beside_others=IMAGE_TO_TEXT.beside_others,
    metric=Metric(({"image": PICTURES, "question": _QUESTION, "answers": _ANSWERS},), _looked_up),
    suited=_check_kind,
)

DOCUMENT_QUESTION_ANSWERING = ExportTask(
    name=_NAME,
    head=Head(
        "AutoModelForDocumentQuestionAnswering",
        ("LayoutLMForQuestionAnswering", "LayoutLMv2ForQuestionAnswering", "LayoutLMv3ForQuestionAnswering"),
    ),
    takes="document",
    outputs=span_logits,
    postprocessing=no_postprocessing,
    probes=Probes(pairs=True),
    items=_items,
    compare=_compare,
    beside_others=batch_disagreement(_compare),
    metric=Metric(
        (
            {
                "question": _QUESTION,
                "words": ("words", "tokens"),
                "boxes": ("boxes", "bboxes", "bounding_boxes"),
                "answers": _ANSWERS,
            },
        ),
        _evaluation,
    ),
    claims=_is_asked,
    kinds=(_WRITTEN,),
)
