"""What is made of a picture's answers: tables of transformers' classes, which nothing in another tool's files tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onnxpress.errors import UnsupportedFormat
from onnxpress.format.boxes import DetectionSettings
from onnxpress.format.manifest import PairScores
from onnxpress.format.segmentation import SegmentationSettings, Subtask
from onnxpress.layouts.faces import Face
from onnxpress.layouts.files import Files
from onnxpress.layouts.notes import Notes
from onnxpress.layouts.picture_faces import SCORES_OF_BOTH
from onnxpress.layouts.picture_files.settings import PictureSettings


@dataclass(frozen=True, slots=True)
class SegmentFamily:
    """The names of a model's outputs, and how its processor makes segments of them."""

    outputs: tuple[str, ...]
    settings: SegmentationSettings


_ALL: tuple[Subtask, ...] = ("panoptic", "instance", "semantic")
_QUERIES = ("class_queries_logits", "masks_queries_logits")

#: A score of each class at each place.
CLASSES_AT_PLACES = SegmentFamily(("logits",), SegmentationSettings("classes", ("semantic",)))

#: model_type -> what models with queries answer.
SEGMENT_FAMILIES: Mapping[str, SegmentFamily] = {
    "detr": SegmentFamily(("logits", "pred_masks"), SegmentationSettings("queries", _ALL)),
    "maskformer": SegmentFamily(_QUERIES, SegmentationSettings("queries", _ALL, "pairs")),
    "mask2former": SegmentFamily(_QUERIES, SegmentationSettings("queries", _ALL, "pairs", (384, 384))),
}

#: How the processors of detectors make boxes, by the name of their class without "ImageProcessor".
DETECTIONS: Mapping[str, DetectionSettings] = {
    "ConditionalDetr": DetectionSettings("sigmoid", most=100),
    "DeformableDetr": DetectionSettings("sigmoid", most=100),
    "Detr": DetectionSettings("softmax"),
    "RTDetr": DetectionSettings("sigmoid"),
    "Yolos": DetectionSettings("softmax"),
}

#: model_type of models whose texts and pictures are compared by a sigmoid; the others' by a softmax.
_SIGMOID = frozenset({"siglip", "siglip2"})

#: By which CLIP's cosines are multiplied: what its training ends at.
_CLIP_SCALE = 100.0


def detection_of(files: Files, pictures: PictureSettings) -> DetectionSettings:
    """How boxes are made, by the class of the image processor.

    Raises:
        UnsupportedFormat: that of no detector that is known here.
    """
    if pictures.kind not in DETECTIONS:
        raise UnsupportedFormat(
            f"{files.folder}: its graph gives boxes, and {pictures.source} names {pictures.kind}ImageProcessor, which "
            f"makes none; known are {', '.join(f'{kind}ImageProcessor' for kind in DETECTIONS)}. Export the checkpoint "
            "with `onnxpress export`."
        )
    return DETECTIONS[pictures.kind]


def segmentation_of(files: Files, face: Face, config: Mapping[str, Any]) -> SegmentationSettings:
    """How segments are made, by what the graph returns and the model's kind.

    Raises:
        UnsupportedFormat: it has queries, and is of no kind that is known here.
    """
    family = SEGMENT_FAMILIES.get(str(config.get("model_type", "")), CLASSES_AT_PLACES)
    if tuple(tensor.name for tensor in face.info.outputs) != family.outputs:
        raise UnsupportedFormat(
            f"{files.folder}: its graph returns {', '.join(tensor.name for tensor in face.info.outputs)}, and of a "
            f"{config.get('model_type')} {', '.join(family.outputs)} are expected. Export the checkpoint with "
            "`onnxpress export`."
        )
    return family.settings


def labelled(face: Face, detection: DetectionSettings | None, segmentation: SegmentationSettings | None) -> int | None:
    """How many of a graph's scores are those of a label: where a softmax has one of nothing, all but that."""
    of_nothing = detection is not None and detection.scores == "softmax"
    of_nothing |= segmentation is not None and segmentation.answers == "queries"
    return face.width - 1 if of_nothing and face.width is not None else face.width


def pairs_of(files: Files, face: Face, config: Mapping[str, Any], notes: Notes) -> PairScores:
    """How the vectors of texts and pictures are compared. `scale` is None where the graph itself compares them, so that
    it can be asked.

    Raises:
        UnsupportedFormat: nothing tells.
    """
    model_type = str(config.get("model_type", ""))
    sigmoid = model_type in _SIGMOID
    if any(tensor.name == SCORES_OF_BOTH for tensor in face.info.outputs):
        return PairScores("sigmoid" if sigmoid else "softmax", cuts=sigmoid)
    if sigmoid:
        raise UnsupportedFormat(
            f"{files.folder}: its graphs give vectors, and nothing says how a {model_type} compares them, as the graph "
            "with both texts and pictures does: get model.onnx, too."
        )
    notes.assume("scale", f"{_CLIP_SCALE:g}", "it is in neither graph, and CLIP's training ends there")
    return PairScores("softmax", _CLIP_SCALE)
