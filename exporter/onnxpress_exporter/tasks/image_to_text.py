"""image-to-text: what a model writes about a picture, or reads in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onnxpress.format.manifest import Manifest
from onnxpress_exporter.judging import cells
from onnxpress_exporter.judging.cells import Cell
from onnxpress_exporter.judging.columns import PICTURES
from onnxpress_exporter.judging.figures import batch_disagreement, compare_batches_of_continuations
from onnxpress_exporter.judging.items import plain_items
from onnxpress_exporter.judging.metrics import READ, Evaluation
from onnxpress_exporter.tasks.postprocessing import no_postprocessing
from onnxpress_exporter.tasks.row import ExportTask, Head, Metric, Probes

#: What is written about a picture, or in it.
_WRITTEN = ("text", "caption", "target", "label", "transcription", "ground_truth", "sentence", "output")


def _evaluation(name: str, rows: Sequence[Mapping[str, Cell]], manifest: Manifest) -> Evaluation:
    """Evaluate greedily written texts against the right ones."""
    pictures, targets = [cells.picture(row["image"]) for row in rows], [cells.text(row["text"]) for row in rows]
    return Evaluation(name, READ, pictures, targets, {"do_sample": False, "num_beams": 1})


IMAGE_TO_TEXT = ExportTask(
    name="image-to-text",
    head=Head("AutoModelForImageTextToText"),
    takes="image",
    outputs=None,
    postprocessing=no_postprocessing,
    probes=Probes(),
    items=plain_items,
    compare=compare_batches_of_continuations,
    beside_others=batch_disagreement(compare_batches_of_continuations),
    metric=Metric(({"image": PICTURES, "text": _WRITTEN},), _evaluation),
)
