"""object-detection: what is in a picture, and where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from onnxpress.format.boxes import DetectionSettings
from onnxpress.format.manifest import Manifest, Postprocessing, TensorInfo
from onnxpress.pipelines.boxes import candidates
from onnxpress.pipelines.object_detection import BOXES
from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.judging import cells
from onnxpress_exporter.judging.boxes import compare_boxes
from onnxpress_exporter.judging.cells import Cell
from onnxpress_exporter.judging.columns import OBJECTS, PICTURES
from onnxpress_exporter.judging.figures import batch_disagreement
from onnxpress_exporter.judging.items import plain_items
from onnxpress_exporter.judging.metrics import FOUND, Evaluation
from onnxpress_exporter.judging.right_boxes import right_boxes
from onnxpress_exporter.source.checkpoint import Checkpoint
from onnxpress_exporter.source.processors import load_image_processor
from onnxpress_exporter.tasks.postprocessing import labelled
from onnxpress_exporter.tasks.row import ExportTask, Head, Metric, Probes

#: Queries and labels that a processor is asked about: more than any one keeps, and other numbers than those.
_QUERIES, _CLASSES = 457, 3

#: Every candidate, whatever its score.
_ALL = {"threshold": 0.0}


def _numbers(model: Any) -> tuple[TensorInfo, ...]:
    """ "logits" (batch, queries, labels) and "pred_boxes" (batch, queries, 4): running the model tells the numbers."""
    return tuple(TensorInfo(name, "float32", ("batch",)) for name in ("logits", BOXES))


def _detection(checkpoint: Checkpoint, model: Any) -> Postprocessing:
    """Labels, and how the checkpoint's own processor makes boxes."""
    return replace(labelled(checkpoint, model), detection=detection_of(load_image_processor(checkpoint)))


def detection_of(processor: Any) -> DetectionSettings:
    """How a processor of transformers makes boxes: found out by what it makes of random numbers.

    Raises:
        UnsupportedCheckpoint: it makes none, or in a way that the manifest has no words for.
    """
    import torch

    name = type(processor).__name__.removesuffix("Pil")
    generator = np.random.default_rng(0)
    logits = generator.standard_normal((_QUERIES, _CLASSES)).astype(np.float32)
    boxes = generator.uniform(0, 1, (_QUERIES, 4)).astype(np.float32)
    if not hasattr(processor, "post_process_object_detection"):
        raise UnsupportedCheckpoint(f"{name} does not make boxes of a model's answers. No artifact was written.")
    rows = SimpleNamespace(logits=torch.from_numpy(logits)[None], pred_boxes=torch.from_numpy(boxes)[None])
    (expected,) = processor.post_process_object_detection(rows, 0.0, [(1, 1)])
    for settings in _ways(len(expected["scores"])):
        ours = candidates(logits, boxes, settings)
        pairs = ((ours.scores, "scores"), (ours.labels, "labels"), (ours.edges, "boxes"))
        if all(
            array.shape == (theirs := expected[key].numpy()).shape and np.allclose(array, theirs, atol=1e-6)
            for array, key in pairs
        ):
            return settings
    raise UnsupportedCheckpoint(
        f"{name} makes boxes in a way that this version does not know: neither the best label of each query nor the "
        "best of all. No artifact was written."
    )


def _ways(count: int) -> Iterator[DetectionSettings]:
    """Every way to make so many candidates of all queries."""
    if count == _QUERIES:
        yield DetectionSettings("softmax")
        yield DetectionSettings("sigmoid")
    else:
        yield DetectionSettings("sigmoid", most=count)


def _evaluation(name: str, rows: Sequence[Mapping[str, Cell]], manifest: Manifest) -> Evaluation:
    labels = manifest.postprocessing.labels
    items = [cells.picture(row["image"]) for row in rows]
    return Evaluation(name, FOUND, items, [right_boxes(row["objects"], labels) for row in rows], _ALL)


OBJECT_DETECTION = ExportTask(
    name="object-detection",
    head=Head("AutoModelForObjectDetection", ("ForObjectDetection",)),
    takes="image",
    outputs=_numbers,
    postprocessing=_detection,
    probes=Probes(),
    items=plain_items,
    compare=compare_boxes,
    beside_others=batch_disagreement(compare_boxes),
    metric=Metric(({"image": PICTURES, "objects": OBJECTS},), _evaluation),
    options=_ALL,
)
