"""document-question-answering: the words of a document, each in its box, that answer a question."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from onnxpress.format.manifest import Manifest
from onnxpress_exporter.judging import cells
from onnxpress_exporter.judging.cells import Cell
from onnxpress_exporter.judging.figures import Answers, Figures, batch_disagreement, compare_spans
from onnxpress_exporter.judging.metrics import DOCUMENT, Evaluation
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


DOCUMENT_QUESTION_ANSWERING = ExportTask(
    name="document-question-answering",
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
                "question": ("question", "query"),
                "words": ("words", "tokens"),
                "boxes": ("boxes", "bboxes", "bounding_boxes"),
                "answers": ("answers", "answer"),
            },
        ),
        _evaluation,
    ),
)
