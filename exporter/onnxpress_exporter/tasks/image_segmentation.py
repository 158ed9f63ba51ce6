"""image-segmentation: a map of classes, or masks of queries with a class each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from onnxpress.format.manifest import Manifest, Postprocessing, TensorInfo
from onnxpress.layouts.picture_answers import CLASSES_AT_PLACES, SEGMENT_FAMILIES, SegmentFamily
from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.judging import cells
from onnxpress_exporter.judging.cells import Cell
from onnxpress_exporter.judging.columns import LABEL_MAPS, PICTURES
from onnxpress_exporter.judging.items import plain_items
from onnxpress_exporter.judging.map_files import label_map
from onnxpress_exporter.judging.maps import compare_segments, segments_beside_others
from onnxpress_exporter.judging.metrics import SEGMENTS, Evaluation
from onnxpress_exporter.source.checkpoint import Checkpoint
from onnxpress_exporter.source.processors import load_image_processor
from onnxpress_exporter.tasks.postprocessing import labelled
from onnxpress_exporter.tasks.row import ExportTask, Head, Metric, Probes

#: Classes that the auto class of semantic segmentation does not load. Those of the last two are refused with their
#: image processors.
_LOADED = {
    "detr": "DetrForSegmentation",
    "maskformer": "MaskFormerForInstanceSegmentation",
    "mask2former": "Mask2FormerForUniversalSegmentation",
    "eomt": "EomtForUniversalSegmentation",
    "oneformer": "OneFormerForUniversalSegmentation",
}


def _family(model: Any) -> SegmentFamily:
    return SEGMENT_FAMILIES.get(getattr(model.config, "model_type", ""), CLASSES_AT_PLACES)


def _outputs(model: Any) -> tuple[TensorInfo, ...]:
    """Running the model tells the axes after the batch."""
    return tuple(TensorInfo(name, "float32", ("batch",)) for name in _family(model).outputs)


def _postprocessing(checkpoint: Checkpoint, model: Any) -> Postprocessing:
    """As transformers' pipeline finds out what a processor can do, by its methods.

    Raises:
        UnsupportedCheckpoint: the processor is not of such models.
    """
    settings, processor = _family(model).settings, load_image_processor(checkpoint)
    for subtask in settings.subtasks:
        if not hasattr(processor, f"post_process_{subtask}_segmentation"):
            raise UnsupportedCheckpoint(
                f"{type(processor).__name__} makes no {subtask} segments of what {type(model).__name__} answers: the "
                "checkpoint's image processor is of another kind of model."
            )
    return replace(labelled(checkpoint, model), segmentation=settings)


def _evaluation(name: str, rows: Sequence[Mapping[str, Cell]], manifest: Manifest) -> Evaluation:
    pictures, labels = [cells.picture(row["image"]) for row in rows], manifest.postprocessing.labels
    maps = [label_map(row["mask"], picture, labels) for row, picture in zip(rows, pictures, strict=True)]
    return Evaluation(name, SEGMENTS, pictures, maps, {"subtask": "semantic"})


IMAGE_SEGMENTATION = ExportTask(
    name="image-segmentation",
    head=Head(
        "AutoModelForSemanticSegmentation",
        (
            *("ForSemanticSegmentation", "ForInstanceSegmentation", "ForUniversalSegmentation"),
            "DetrForSegmentation",
        ),
        _LOADED,
    ),
    takes="image",
    outputs=_outputs,
    postprocessing=_postprocessing,
    probes=Probes(),
    items=plain_items,
    compare=compare_segments,
    beside_others=segments_beside_others,
    metric=Metric(({"image": PICTURES, "mask": LABEL_MAPS},), _evaluation),
    options={"threshold": 0.0, "overlap_mask_area_threshold": 0.0},
)
