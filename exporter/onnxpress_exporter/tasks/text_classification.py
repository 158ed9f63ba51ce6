"""text-classification: every label of a text, or of a pair, with its score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from onnxpress.format.manifest import Manifest, Postprocessing
from onnxpress_exporter.judging import cells
from onnxpress_exporter.judging.cells import Cell
from onnxpress_exporter.judging.columns import LABELS, PAIRS, TEXTS
from onnxpress_exporter.judging.figures import batch_disagreement, compare_labels, equal_labels
from onnxpress_exporter.judging.items import plain_items
from onnxpress_exporter.judging.labels import of_labels
from onnxpress_exporter.judging.metrics import Evaluation
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
    return of_labels(name, [_item(row) for row in rows], [row["label"] for row in rows], manifest)


def _item(row: Mapping[str, Cell]) -> Any:
    first = cells.text(row["text"], empty=True)
    if "text_pair" not in row:
        return first
    return {"text": first, "text_pair": cells.text(row["text_pair"])}


TEXT_CLASSIFICATION = ExportTask(
    name="text-classification",
    head=SEQUENCE,
    outputs=sequence_logits,
    postprocessing=_postprocessing,
    probes=Probes(pairs=True),
    by_rows=answer_by_rows,
    items=plain_items,
    compare=compare_labels,
    beside_others=batch_disagreement(equal_labels),
    metric=Metric(
        (
            *({"text": (first,), "text_pair": (second,), "label": LABELS} for first, second in PAIRS.items()),
            {"text": TEXTS, "label": LABELS},
        ),
        _evaluation,
    ),
    options={"top_k": None, "truncation": True},
)
