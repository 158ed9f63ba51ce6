"""visual-question-answering: every answer that the model knows to a question about a picture, with its score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from onnxpress.format.manifest import Manifest
from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.judging import cells
from onnxpress_exporter.judging.cells import Cell
from onnxpress_exporter.judging.columns import PICTURES
from onnxpress_exporter.judging.figures import Answers, Figures, batch_disagreement, compare_labels
from onnxpress_exporter.judging.metrics import ANSWER, Evaluation
from onnxpress_exporter.tasks.outputs import sequence_logits
from onnxpress_exporter.tasks.postprocessing import labelled
from onnxpress_exporter.tasks.row import ExportTask, Head, Metric, Probes

#: What is asked about the pictures that variants are calibrated on and judged by.
_QUESTIONS = (
    "What is this?", "What color is it?", "How many are there?", "Is it day or night?", "What is on the left?",
    "Is there a person?", "What shape is the largest thing?", "Where was this taken?", "What is it made of?",
)  # fmt: skip


def _items(material: Sequence[Any], manifest: Manifest) -> list[dict[str, Any]]:
    """A question about each picture."""
    return [
        {"image": picture, "question": _QUESTIONS[place % len(_QUESTIONS)]} for place, picture in enumerate(material)
    ]


def _compare(reference: Answers, answers: Answers) -> Figures:
    return compare_labels(*([[_as_label(entry) for entry in row] for row in side] for side in (reference, answers)))


def _as_label(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"label": entry["answer"], "score": entry["score"]}


def _one_size(model: Any) -> Any:
    """The model as a module that takes pictures of one size together.

    Raises:
        UnsupportedCheckpoint: it is another kind of model, or one whose answers are drawn by lot.
    """
    from onnxpress_exporter.graphs.vilt import OneSize

    if type(model).__name__ != "ViltForQuestionAnswering":
        raise UnsupportedCheckpoint(
            f"{type(model).__name__} is not exported by this version, which exports ViltForQuestionAnswering for "
            "visual-question-answering."
        )
    return OneSize(model)


def _evaluation(name: str, rows: Sequence[Mapping[str, Cell]], manifest: Manifest) -> Evaluation:
    items = [{"image": cells.picture(row["image"]), "question": cells.text(row["question"])} for row in rows]
    return Evaluation(name, ANSWER, items, [cells.text(row["answer"]) for row in rows], {"top_k": 1})


VISUAL_QUESTION_ANSWERING = ExportTask(
    name="visual-question-answering",
    head=Head("AutoModelForVisualQuestionAnswering", ("ViltForQuestionAnswering", "BlipForQuestionAnswering")),
    takes="text and image",
    outputs=sequence_logits,
    postprocessing=labelled,
    probes=Probes(),
    items=_items,
    compare=_compare,
    beside_others=batch_disagreement(_compare),
    metric=Metric(
        ({"image": PICTURES, "question": ("question", "query"), "answer": ("answer", "label", "target")},), _evaluation
    ),
    options={"top_k": 1_000_000},
    by_rows=_one_size,
)
