"""mask-generation: masks of everything in a picture, whatever it is, found from points on a grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from onnxpress.errors import ArtifactError, InputError
from onnxpress.format.picture_sizes import longest_edge
from onnxpress.format.pictures import PadToSize, ResizeLongest
from onnxpress.image.opening import open_picture
from onnxpress.pipelines.base import Pipeline
from onnxpress.pipelines.batching import Prepared
from onnxpress.pipelines.loaded import LoadedModel
from onnxpress.pipelines.masks import (
    Box,
    Crops,
    Keeping,
    Masks,
    Runs,
    Size,
    crops_of,
    kept,
    mask_of_runs,
    points_in,
    without_doubles,
)
from onnxpress.pipelines.pictures import PictureOptions, PictureProcessor, call_pictures
from onnxpress.samples import Sample

#: The role of the graph that makes masks of points, and the names of what it takes and gives.
MASKS = "masks"
POINTS, EMBEDDINGS, SCORES, LEVELS = "input_points", "image_embeddings", "iou_scores", "pred_masks"

#: Points of a crop, and crops of a picture, at most: more is a mistake.
_MOST_POINTS, _MOST_LAYERS = 256, 4

#: The options that are numbers, whole or not.
_NUMBERS = (
    *("crop_overlap_ratio", "mask_threshold", "pred_iou_thresh"),
    *("stability_score_thresh", "stability_score_offset", "crops_nms_thresh"),
)


class GeneratedMasks(TypedDict):
    """`masks`: bool (height, width) each, of the picture's size, best first; `scores` float32 (masks,). `rle_mask`: the
    same as runs; `bounding_boxes` int64 (masks, 4) of left, top, right, bottom: only where they are asked for."""

    masks: list[NDArray[np.bool_]]
    scores: NDArray[np.float32]
    rle_mask: NotRequired[list[Runs]]
    bounding_boxes: NotRequired[NDArray[np.int64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskGenerationOptions(PictureOptions):
    """`points_per_batch`: that are computed together; None: all. `points_per_crop`: on an edge of the grid.
    `crops_n_layers`: 0: the picture as a whole; 1: four crops of it beside, which overlap by `crop_overlap_ratio`, 2:
    sixteen besides; `crop_n_points_downscale_factor`: each layer's grids have so many times fewer points.
    `mask_threshold`: what a place of a mask is above. `pred_iou_thresh`, `stability_score_thresh`: what a mask's score
    and its stability are above; `stability_score_offset`: how far the threshold moves for that. `crops_nms_thresh`: of
    boxes that share more, the best. `output_rle_mask`, `output_bboxes_mask`: more of the masks in the answer."""

    points_per_batch: int | None = 64
    points_per_crop: int = 32
    crops_n_layers: int = 0
    crop_overlap_ratio: float = 512 / 1500
    crop_n_points_downscale_factor: int = 1
    mask_threshold: float = 0.0
    pred_iou_thresh: float = 0.88
    stability_score_thresh: float = 0.95
    stability_score_offset: float = 1
    crops_nms_thresh: float = 0.7
    output_rle_mask: bool = False
    output_bboxes_mask: bool = False

    def __post_init__(self) -> None:
        PictureOptions.__post_init__(self)
        _check_number("points_per_crop", self.points_per_crop, 1, _MOST_POINTS)
        _check_number("crops_n_layers", self.crops_n_layers, 0, _MOST_LAYERS)
        _check_number("crop_n_points_downscale_factor", self.crop_n_points_downscale_factor, 1, self.points_per_crop)
        if self.points_per_batch is not None:
            _check_number("points_per_batch", self.points_per_batch, 1, None)
        if self.points_per_crop < self.crop_n_points_downscale_factor**self.crops_n_layers:
            raise InputError("The last layer of crops would have no points: lower crop_n_points_downscale_factor.")
        for name in _NUMBERS:
            value: Any = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
                raise InputError(f"{name} is {value!r:.40}; it must be a number.")
        if not 0 <= self.crop_overlap_ratio < 1:
            raise InputError(f"crop_overlap_ratio is {self.crop_overlap_ratio!r}; it must be from 0 to less than 1.")

    @property
    def crops(self) -> Crops:
        """How a picture is cut."""
        return Crops(
            self.crops_n_layers, self.crop_overlap_ratio, self.points_per_crop, self.crop_n_points_downscale_factor
        )

    @property
    def keeping(self) -> Keeping:
        """Which masks are kept."""
        return Keeping(
            self.pred_iou_thresh, self.stability_score_thresh, self.mask_threshold, self.stability_score_offset
        )


def _check_number(name: str, value: Any, least: int, most: int | None) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least or (most is not None and value > most):
        raise InputError(
            f"{name} is {value!r:.40}; it must be a whole number from {least}{f' to {most}' if most else ''}."
        )


@dataclass(frozen=True, slots=True)
class _Crop:
    """Where a crop lies in a picture of the size `whole`, and its points, float64 (points, 2), in the graph's
    pixels."""

    box: Box
    whole: Size
    points: NDArray[Any]


class MaskGeneration(Pipeline[MaskGenerationOptions, PictureProcessor]):
    """`pipe(picture)` -> {"masks", "scores"}; a list of pictures gives a list of these. The picture, or each crop of
    it, is encoded once; its points go through the second graph, `points_per_batch` at a time."""

    options_type = MaskGenerationOptions
    processor_type = PictureProcessor
    role = "vision"
    window = 8
    __call__ = call_pictures

    def __init__(self, model: LoadedModel, options: Mapping[str, Any]) -> None:
        super().__init__(model, options)
        settings = self.processor.settings
        steps = [step for step in settings.steps if isinstance(step, ResizeLongest)]
        if not steps or not isinstance(settings.pad, PadToSize):
            raise ArtifactError(
                f"{self.artifact.folder}: its pictures are not resized by their longer edge and padded, as those of "
                "models that make masks of points are. Export again."
            )
        self._longest, self._padded = steps[0].longest, (settings.pad.height, settings.pad.width)
        self._masks = self.manifest.graph_name(MASKS)

    def foresee(self, item: Any, options: MaskGenerationOptions) -> None:
        """One after the other: a picture becomes many samples."""

    def prepare(self, item: Any, options: MaskGenerationOptions) -> Prepared[None]:
        picture = open_picture(item, options.max_pixels, options.urls)
        whole = (picture.height, picture.width)
        samples = []
        for box, grid in crops_of(whole, options.crops):
            crop = picture if box == (0, 0, *whole[::-1]) else picture.crop(box)
            points = points_in(grid, (crop.height, crop.width), self._longest)
            samples.append(self.processor.sample_of(crop, _Crop(box, whole, points)))
        return Prepared(tuple(samples), None)

    def compute(self, samples: Sequence[Sample], options: MaskGenerationOptions) -> list[Masks]:
        """Crop by crop: what is found in one depends on no other."""
        return [masks for sample in samples for masks in self._of_crop(sample, options)]

    def _of_crop(self, sample: Sample, options: MaskGenerationOptions) -> list[Masks]:
        crop: _Crop = sample.context
        arrays = self.processor.collator.collate([sample]).arrays
        embeddings = self.session.run(arrays, graph=self.graph_name)[self.answer_name]
        points = crop.points.astype(np.float32)[None, :, None]
        at_once = options.points_per_batch or points.shape[1]
        inner = self._inner(crop.box)
        parts = []
        for start in range(0, points.shape[1], at_once):
            feeds = {EMBEDDINGS: embeddings, POINTS: points[:, start : start + at_once]}
            answers = self.session.run(feeds, graph=self._masks)
            levels = answers[LEVELS][0].reshape(-1, *answers[LEVELS].shape[-2:])
            scores = answers[SCORES][0].reshape(-1)
            sizes = (self._padded, inner, crop.whole)
            parts.append(kept(levels, scores, crop.box, sizes, options.keeping))
        return [_joined(parts)]

    def _inner(self, box: Box) -> Size:
        """What of the graph's input is picture."""
        return longest_edge((box[3] - box[1], box[2] - box[0]), self._longest)

    def finish(self, context: None, values: list[Any], options: MaskGenerationOptions) -> GeneratedMasks:
        best = without_doubles(values, options.crops_nms_thresh)
        result = GeneratedMasks(masks=[mask_of_runs(runs) for runs in best.runs], scores=best.scores)
        if options.output_rle_mask:
            result["rle_mask"] = best.runs
        if options.output_bboxes_mask:
            result["bounding_boxes"] = best.boxes
        return result


def _joined(parts: Sequence[Masks]) -> Masks:
    return Masks(
        [runs for part in parts for runs in part.runs],
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.boxes for part in parts]),
    )
