"""zero-shot-classification: labels that the call names, by the classifier's entailment of a sentence about each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onnxpress.format.manifest import Manifest
from onnxpress_exporter.judging import cells
from onnxpress_exporter.judging.cells import Cell
from onnxpress_exporter.judging.columns import LABELS, TEXTS
from onnxpress_exporter.judging.figures import batch_disagreement, compare_sorted_labels, equal_sorted_labels
from onnxpress_exporter.judging.items import plain_items
from onnxpress_exporter.judging.metrics import BEST_LABEL, Evaluation
from onnxpress_exporter.tasks.outputs import sequence_logits
from onnxpress_exporter.tasks.postprocessing import labelled
from onnxpress_exporter.tasks.row import ExportTask, Metric, Probes
from onnxpress_exporter.tasks.sequence_rows import answer_by_rows
from onnxpress_exporter.tasks.text_classification import SEQUENCE

#: The checkpoint brings no labels of its own to judge by.
_JUDGED_LABELS = ("news", "complaint", "science", "instructions", "travel")


def _evaluation(name: str, rows: Sequence[Mapping[str, Cell]], manifest: Manifest) -> Evaluation:
    targets = [cells.class_name(row["label"]) for row in rows]
    candidates = sorted(set(targets))
    if len(candidates) < 2:
        rows[0]["label"].fail("labels that differ from row to row; here, all are the same")
    items = [cells.text(row["text"]) for row in rows]
    return Evaluation(name, BEST_LABEL, items, targets, {"candidate_labels": candidates})


ZERO_SHOT_CLASSIFICATION = ExportTask(
    name="zero-shot-classification",
    head=SEQUENCE,
    outputs=sequence_logits,
    postprocessing=labelled,
    probes=Probes(pairs=True),
    by_rows=answer_by_rows,
    items=plain_items,
    compare=compare_sorted_labels,
    beside_others=batch_disagreement(equal_sorted_labels),
    metric=Metric(({"text": TEXTS, "label": LABELS},), _evaluation),
    options={"candidate_labels": list(_JUDGED_LABELS)},
)
