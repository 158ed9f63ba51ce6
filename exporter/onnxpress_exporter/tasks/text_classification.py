"""text-classification: every label of a text, or of a pair, with its score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from onnxpress.format.manifest import Manifest, Postprocessing
from onnxpress_exporter.judging import cells
from onnxpress_exporter.judging.cells import Cell
from onnxpress_exporter.judging.columns import LABELS, PAIRS, TEXTS
from onnxpress_exporter.judging.figures import batch_disagreement, compare_labels
from onnxpress_exporter.judging.items import plain_items
from onnxpress_exporter.judging.metrics import LABEL, NUMBER, SEVERAL_LABELS, Evaluation
from onnxpress_exporter.source.checkpoint import Checkpoint
from onnxpress_exporter.source.cross_encoders import is_cross_encoder, read_cross_encoder
from onnxpress_exporter.tasks.outputs import sequence_logits
from onnxpress_exporter.tasks.postprocessing import labelled
from onnxpress_exporter.tasks.row import ExportTask, Head, Metric, Probes
from onnxpress_exporter.tasks.sequence_rows import answer_by_rows

#: Shared by every task whose answers are made of one row of labels.
SEQUENCE = Head("AutoModelForSequenceClassification", ("ForSequenceClassification",))


def _postprocessing(checkpoint: Checkpoint, model: Any) -> Postprocessing:
    """A cross-encoder's scores are as its config says; others follow the number and kind of the labels."""
    scores_pairs = is_cross_encoder(checkpoint.folder, checkpoint.config)
    activation = read_cross_encoder(checkpoint.folder, checkpoint.config).activation if scores_pairs else None
    return labelled(checkpoint, model, activation)


def _evaluation(name: str, rows: Sequence[Mapping[str, Cell]], manifest: Manifest) -> Evaluation:
    items = [_item(row) for row in rows]
    targets = [row["label"] for row in rows]
    problem, labels = manifest.postprocessing.problem_type, manifest.postprocessing.labels
    if problem == "regression" or len(labels) == 1:
        return Evaluation(name, NUMBER, items, cells.spread(targets))
    if problem == "multi_label_classification":
        return Evaluation(name, SEVERAL_LABELS, items, _label_sets(targets, labels))
    return Evaluation(name, LABEL, items, [cells.label(cell, labels) for cell in targets])


def _item(row: Mapping[str, Cell]) -> Any:
    first = cells.text(row["text"], empty=True)
    if "text_pair" not in row:
        return first
    return {"text": first, "text_pair": cells.text(row["text_pair"])}


def _label_sets(targets: Sequence[Cell], labels: Sequence[str]) -> list[frozenset[str]]:
    """Lists of names or ids; or, where every row has as many zeros and ones as there are labels, indicators."""
    lists = [cells.several(target, lambda cell: cell, "labels") for target in targets]
    if all(len(row) == len(labels) and all(cell.value in (0, 1) for cell in row) for row in lists):
        return [frozenset(label for label, cell in zip(labels, row, strict=True) if cell.value) for row in lists]
    return [frozenset(cells.label(cell, labels) for cell in row) for row in lists]


TEXT_CLASSIFICATION = ExportTask(
    name="text-classification",
    head=SEQUENCE,
    outputs=sequence_logits,
    postprocessing=_postprocessing,
    probes=Probes(pairs=True),
    by_rows=answer_by_rows,
    items=plain_items,
    compare=compare_labels,
    beside_others=batch_disagreement(compare_labels),
    metric=Metric(
        (
            *({"text": (first,), "text_pair": (second,), "label": LABELS} for first, second in PAIRS.items()),
            {"text": TEXTS, "label": LABELS},
        ),
        _evaluation,
    ),
    options={"top_k": None, "truncation": True},
)
