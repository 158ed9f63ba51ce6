"""image-segmentation: the parts of a picture, each with its label and a mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypedDict, get_args

from onnxpress.errors import ArtifactError, InputError
from onnxpress.format.segmentation import SegmentationSettings, Subtask
from onnxpress.image.making import mask_of
from onnxpress.image.opening import open_picture
from onnxpress.pipelines.base import Outputs, Pipeline
from onnxpress.pipelines.batching import Prepared
from onnxpress.pipelines.labels import answer_labels
from onnxpress.pipelines.pictures import PictureOptions, PictureProcessor, call_pictures
from onnxpress.pipelines.segments import SegmentedPicture, Thresholds, segmentation_of
from onnxpress.samples import Batch

if TYPE_CHECKING:
    from onnxpress.image.opening import Image


class PictureSegment(TypedDict):
    """`score`: None where the model gives each place a class; `mask`: of the picture's size, 255 in the segment."""

    score: float | None
    label: Any
    mask: Image


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSegmentationOptions(PictureOptions):
    """`subtask`: "panoptic", "instance" or "semantic"; None: the first of them that the model answers. Of models with
    queries, the others: `threshold`, the score that a segment is above; `mask_threshold`, the probability from which on
    a place counts as a mask's; `overlap_mask_area_threshold`, the share of a mask that has to be left once all masks
    have shared out the picture."""

    subtask: str | None = None
    threshold: float = 0.9
    mask_threshold: float = 0.5
    overlap_mask_area_threshold: float = 0.5

    def __post_init__(self) -> None:
        PictureOptions.__post_init__(self)
        for name in ("threshold", "mask_threshold", "overlap_mask_area_threshold"):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or isinstance(value, bool):
                raise InputError(f"{name} is {value!r}; it must be a number.")
        if self.subtask is not None and self.subtask not in get_args(Subtask):
            raise InputError(f"subtask is {self.subtask!r}; it must be one of {', '.join(get_args(Subtask))}.")

    @property
    def thresholds(self) -> Thresholds:
        """Those of the segments."""
        return Thresholds(self.threshold, self.mask_threshold, self.overlap_mask_area_threshold)


class ImageSegmentation(Pipeline[ImageSegmentationOptions, PictureProcessor]):
    """`pipe(picture)` -> [{"score", "label", "mask"}, ...], the mask a grey Pillow image of the picture's size; a list
    of pictures gives a list of these."""

    options_type = ImageSegmentationOptions
    processor_type = PictureProcessor
    __call__ = call_pictures
    window: ClassVar[int] = 32

    def check(self, options: ImageSegmentationOptions) -> None:
        self._subtask(options)

    def prepare(self, item: Any, options: ImageSegmentationOptions) -> Prepared[None]:
        self.check(options)
        picture = open_picture(item, options.max_pixels, options.urls)
        return Prepared((self.processor.sample_of(picture, (picture.height, picture.width)),), None)

    def reduce(self, batch: Batch, outputs: Outputs, options: ImageSegmentationOptions) -> Sequence[SegmentedPicture]:
        """Maps, which are much smaller than scores, as soon as a batch is computed."""
        settings, subtask = self._settings, self._subtask(options)
        return [
            segmentation_of(
                settings,
                subtask,
                tuple(outputs[tensor.name][row] for tensor in self.graph.outputs),
                sample.context,
                options.thresholds,
            )
            for row, sample in enumerate(batch.samples)
        ]

    def finish(self, context: None, values: list[Any], options: ImageSegmentationOptions) -> list[PictureSegment]:
        segmentation: SegmentedPicture = values[0]
        labels = answer_labels(self, self._classes)
        return [
            PictureSegment(
                score=segment.score,
                label=labels[segment.label],
                mask=mask_of(segmentation.places == segment.number),
            )
            for segment in segmentation.segments
        ]

    @property
    def _settings(self) -> SegmentationSettings:
        settings = self.manifest.postprocessing.segmentation
        if settings is None:
            raise ArtifactError(
                f"{self.artifact.folder}: it does not say how segments are made of its answers. Export again."
            )
        return settings

    @property
    def _classes(self) -> int | str:
        """How many classes the graph gives scores for, where that is known."""
        axes = self.graph.outputs[0].axes
        if self._settings.answers == "classes":
            return axes[1]
        return axes[-1] - 1 if isinstance(axes[-1], int) else axes[-1]

    def _subtask(self, options: ImageSegmentationOptions) -> Subtask:
        """The one that is asked for.

        Raises:
            InputError: the model does not answer it.
        """
        answered = self._settings.subtasks
        for subtask in answered:
            if options.subtask in (None, subtask):
                return subtask
        raise InputError(
            f"subtask is {options.subtask!r}: this {self.manifest.architecture} answers {', '.join(answered)} only."
        )
