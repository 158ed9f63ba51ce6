"""image-classification: every label of a picture, with its score."""

from __future__ import annotations

from onnxpress_exporter.judging.figures import batch_disagreement, compare_labels
from onnxpress_exporter.judging.items import plain_items
from onnxpress_exporter.tasks.outputs import sequence_logits
from onnxpress_exporter.tasks.postprocessing import labelled
from onnxpress_exporter.tasks.row import ExportTask, Head, Probes

IMAGE_CLASSIFICATION = ExportTask(
    name="image-classification",
    head=Head("AutoModelForImageClassification", ("ForImageClassification", "ForImageClassificationWithTeacher")),
    takes="image",
    outputs=sequence_logits,
    postprocessing=labelled,
    probes=Probes(),
    items=plain_items,
    compare=compare_labels,
    beside_others=batch_disagreement(compare_labels),
    metric=None,
    options={"top_k": 1_000_000},
)
