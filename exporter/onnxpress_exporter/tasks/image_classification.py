"""image-classification: every label of a picture, with its score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onnxpress.format.manifest import Manifest
from onnxpress_exporter.judging import cells
from onnxpress_exporter.judging.cells import Cell
from onnxpress_exporter.judging.columns import LABELS, PICTURES
from onnxpress_exporter.judging.figures import batch_disagreement, compare_labels, equal_labels
from onnxpress_exporter.judging.items import plain_items
from onnxpress_exporter.judging.labels import of_labels
from onnxpress_exporter.judging.metrics import Evaluation
from onnxpress_exporter.tasks.outputs import sequence_logits
from onnxpress_exporter.tasks.postprocessing import labelled
from onnxpress_exporter.tasks.row import ExportTask, Head, Metric, Probes


def _evaluation(name: str, rows: Sequence[Mapping[str, Cell]], manifest: Manifest) -> Evaluation:
    return of_labels(name, [cells.picture(row["image"]) for row in rows], [row["label"] for row in rows], manifest)


IMAGE_CLASSIFICATION = ExportTask(
    name="image-classification",
    head=Head("AutoModelForImageClassification", ("ForImageClassification", "ForImageClassificationWithTeacher")),
    takes="image",
    outputs=sequence_logits,
    postprocessing=labelled,
    probes=Probes(),
    items=plain_items,
    compare=compare_labels,
    beside_others=batch_disagreement(equal_labels),
    metric=Metric(({"image": PICTURES, "label": LABELS},), _evaluation),
    options={"top_k": 1_000_000},
)
