"""question-answering: the span of a context that answers a question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from onnxpress.format.manifest import Manifest
from onnxpress_exporter.judging import cells
from onnxpress_exporter.judging.cells import Cell
from onnxpress_exporter.judging.figures import batch_disagreement, compare_spans
from onnxpress_exporter.judging.metrics import ANSWERS, Evaluation
from onnxpress_exporter.tasks.outputs import span_logits
from onnxpress_exporter.tasks.postprocessing import no_postprocessing
from onnxpress_exporter.tasks.row import ExportTask, Head, Metric, Probes
from onnxpress_exporter.tasks.sequence_rows import ask_any_row

_QUESTIONS = ("Who is mentioned?", "When did it happen?", "Where is it?", "What is it about?")


def _items(texts: Sequence[str], manifest: Manifest) -> list[Any]:
    return [{"question": _QUESTIONS[i % len(_QUESTIONS)], "context": text} for i, text in enumerate(texts)]


def _evaluation(name: str, rows: Sequence[Mapping[str, Cell]], manifest: Manifest) -> Evaluation:
    items = [{role: cells.text(row[role]) for role in ("question", "context")} for row in rows]
    targets = [cells.answers(row["answers"]) for row in rows]
    # Where some questions have no answer, the model may say so.
    options = {} if all(targets) else {"handle_impossible_answer": True}
    return Evaluation(name, ANSWERS, items, targets, options)


QUESTION_ANSWERING = ExportTask(
    name="question-answering",
    head=Head("AutoModelForQuestionAnswering", ("ForQuestionAnswering", "ForQuestionAnsweringSimple")),
    outputs=span_logits,
    postprocessing=no_postprocessing,
    probes=Probes(pairs=True),
    items=_items,
    compare=compare_spans,
    beside_others=batch_disagreement(compare_spans),
    metric=Metric(
        (
            {
                "question": ("question",),
                "context": ("context", "passage", "paragraph"),
                "answers": ("answers", "answer", "answer_text"),
            },
        ),
        _evaluation,
    ),
    aliases=("qa",),
    by_rows=ask_any_row,
)
