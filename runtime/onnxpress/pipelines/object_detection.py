"""object-detection: what is in a picture, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from numbers import Real
from typing import Any

from onnxpress.errors import InputError, UnsupportedFormat
from onnxpress.image.opening import open_picture
from onnxpress.pipelines.base import Outputs, Pipeline
from onnxpress.pipelines.batching import Prepared
from onnxpress.pipelines.boxes import Detection, ScoredBoxes, candidates, surer_than, whole_pixels
from onnxpress.pipelines.labels import answer_labels
from onnxpress.pipelines.pictures import PictureOptions, PictureProcessor, call_pictures
from onnxpress.samples import Batch

#: The graph's output of boxes; that of labels is its first.
BOXES = "pred_boxes"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectDetectionOptions(PictureOptions):
    """`threshold`: only what has a higher score."""

    threshold: float = 0.5

    def __post_init__(self) -> None:
        PictureOptions.__post_init__(self)
        value: Any = self.threshold
        if isinstance(value, bool) or not isinstance(value, Real) or isnan(value):
            raise InputError(f"threshold is {self.threshold!r}; it must be a number, such as 0.5.")


class ObjectDetection(Pipeline[ObjectDetectionOptions, PictureProcessor]):
    """`pipe(picture)` -> [{"score", "label", "box": {"xmin", "ymin", "xmax", "ymax"}}, ...], in pixels of the picture;
    a list of pictures gives a list of these.

    A picture is a path, bytes, a file object, a data URI, a Pillow image or a uint8 array (height, width, channels).
    """

    options_type = ObjectDetectionOptions
    processor_type = PictureProcessor
    __call__ = call_pictures

    def prepare(self, item: Any, options: ObjectDetectionOptions) -> Prepared[tuple[int, int]]:
        image = open_picture(item, options.max_pixels, options.urls)
        return Prepared((self.processor.sample_of(image),), (image.height, image.width))

    @property
    def _classes(self) -> int | str:
        """How many labels there are scores for: of a softmax, all but the last, which is that of nothing."""
        width, settings = self.graph.outputs[0].axes[-1], self.manifest.postprocessing.detection
        return width - 1 if isinstance(width, int) and settings is not None and settings.scores == "softmax" else width

    def reduce(self, batch: Batch, outputs: Outputs, options: ObjectDetectionOptions) -> Sequence[ScoredBoxes]:
        settings = self.manifest.postprocessing.detection
        if settings is None:
            raise UnsupportedFormat(
                f"{self.artifact.folder}: it does not say how boxes are made of its numbers. Export again."
            )
        rows = zip(outputs[self.answer_name], outputs[BOXES], strict=True)
        return [surer_than(options.threshold, candidates(logits, boxes, settings)) for logits, boxes in rows]

    def finish(self, context: tuple[int, int], values: list[Any], options: ObjectDetectionOptions) -> list[Detection]:
        boxes: ScoredBoxes = values[0]
        labels = answer_labels(self, self._classes)
        rows = zip(boxes.scores.tolist(), boxes.labels.tolist(), whole_pixels(boxes.edges, *context), strict=True)
        return [Detection(score=score, label=labels[label], box=box) for score, label, box in rows]
