"""visual-question-answering: every answer that the model knows to a question about a picture, with its score; or the
answer that it writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from onnxpress.format.manifest import Manifest
from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.judging import cells
from onnxpress_exporter.judging.cells import Cell
from onnxpress_exporter.judging.columns import PICTURES
from onnxpress_exporter.judging.figures import (
    Answers,
    Compare,
    Figures,
    batch_disagreement,
    compare_batches_of_continuations,
    compare_labels,
    equal_labels,
)
from onnxpress_exporter.judging.metrics import ANSWER, Evaluation
from onnxpress_exporter.judging.pictures import with_questions
from onnxpress_exporter.source.checkpoint import Checkpoint
from onnxpress_exporter.tasks.outputs import sequence_logits
from onnxpress_exporter.tasks.postprocessing import labelled, no_postprocessing
from onnxpress_exporter.tasks.row import ExportTask, Head, Metric, Probes


def _items(material: Sequence[Any], manifest: Manifest) -> list[dict[str, Any]]:
    return with_questions(material)


def _compare(reference: Answers, answers: Answers, compare: Compare = compare_labels) -> Figures:
    return compare(*([[_as_label(entry) for entry in row] for row in side] for side in (reference, answers)))


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
            f"{type(model).__name__} is not exported by this version, which exports ViltForQuestionAnswering and "
            "BlipForQuestionAnswering for visual-question-answering."
        )
    return OneSize(model)


def _evaluation(name: str, rows: Sequence[Mapping[str, Cell]], manifest: Manifest) -> Evaluation:
    items = [{"image": cells.picture(row["image"]), "question": cells.text(row["question"])} for row in rows]
    greedy = {"do_sample": False, "num_beams": 1}
    options: dict[str, Any] = {"top_k": 1} if manifest.generation is None else greedy
    return Evaluation(name, ANSWER, items, [cells.text(row["answer"]) for row in rows], options)


_NAME = "visual-question-answering"
_HEAD = Head("AutoModelForVisualQuestionAnswering", ("ViltForQuestionAnswering", "BlipForQuestionAnswering"))
_METRIC = Metric(
    ({"image": PICTURES, "question": ("question", "query"), "answer": ("answer", "label", "target")},), _evaluation
)

#: Of models that write the answer.
_WRITTEN = ExportTask(
    name=_NAME,
    head=_HEAD,
    takes="text and image",
    outputs=None,
    postprocessing=no_postprocessing,
    probes=Probes(),
    items=_items,
    compare=compare_batches_of_continuations,
    beside_others=batch_disagreement(compare_batches_of_continuations),
    metric=_METRIC,
)


def _suited(checkpoint: Checkpoint) -> ExportTask | None:
    return _WRITTEN if checkpoint.model_type == "blip" else None


VISUAL_QUESTION_ANSWERING = ExportTask(
    name=_NAME,
    head=_HEAD,
    takes="text and image",
    outputs=sequence_logits,
    postprocessing=labelled,
    probes=Probes(),
    items=_items,
    compare=_compare,
    beside_others=batch_disagreement(partial(_compare, compare=equal_labels)),
    metric=_METRIC,
    options={"top_k": 1_000_000},
    by_rows=_one_size,
    suited=_suited,
    kinds=(_WRITTEN,),
)
