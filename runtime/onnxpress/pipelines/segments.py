"""Makes the segments of a picture of what a graph answers, as transformers' image processors do
(`post_process_semantic_segmentation`, `..._instance_...`, `..._panoptic_...`), with numpy alone.

Maps are interpolated a few rows at a time: a large picture with many classes takes no more memory than a small one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.format.segmentation import SegmentationSettings, Subtask
from onnxpress.image.interpolation import bands, interpolate, likeliest
from onnxpress.math import sigmoid, softmax, top_k

Floats = NDArray[Any]

#: (height, width) of a picture.
Size = tuple[int, int]

#: What no segment has, in a map.
NOTHING = -1

#: Digits of a score.
_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Thresholds:
    """`score`: a segment's is above it, or, of pairs, not below it. `mask`: from this probability on a place counts as
    of a query's mask. `overlap`: of such places, a larger share has to be left once all masks have shared them out."""

    score: float = 0.9
    mask: float = 0.5
    overlap: float = 0.5


@dataclass(frozen=True, slots=True)
class Segment:
    """`number`: in the map; `label`: of its class; `score`: None where the model gives none."""

    number: int
    label: int
    score: float | None


@dataclass(frozen=True, slots=True)
class SegmentedPicture:
    """`places`: int (height, width), the number of a segment at each place, or NOTHING."""

    places: NDArray[Any]
    segments: tuple[Segment, ...]


def segmentation_of(
    settings: SegmentationSettings, subtask: Subtask, outputs: tuple[Floats, ...], size: Size, thresholds: Thresholds
) -> SegmentedPicture:
    """The segments of one picture.

    Args:
        outputs: as the settings say, float32, without the axis of the batch.
        size: of the picture.
    """
    if settings.answers == "classes":
        return of_classes(outputs[0], size)
    scores, masks = outputs[:2]
    if settings.mask_size is not None:
        masks = interpolate(masks, (settings.mask_size[0], settings.mask_size[1]))
    if subtask == "semantic":
        return of_classes(_scores_of_classes(scores, masks), size)
    if subtask == "instance" and settings.instances == "pairs":
        return of_pairs(scores, masks, size, thresholds)
    return of_queries(scores, masks, size, thresholds)


def of_classes(scores: Floats, size: Size) -> SegmentedPicture:
    """The likeliest class of each place; a segment for each class that is somewhere, in the order of the classes.

    Args:
        scores: float32 (classes, height, width).
    """
    places = likeliest(scores, size)
    return SegmentedPicture(places, tuple(Segment(int(label), int(label), None) for label in np.unique(places)))


def _scores_of_classes(scores: Floats, masks: Floats) -> Floats:
    """float32 (classes, height, width): the sum of the queries' masks, each times its probability of the class."""
    classes = softmax(scores)[:, :-1]
    summed: Floats = np.tensordot(classes, sigmoid(masks), axes=(0, 0))
    return summed


def of_queries(scores: Floats, masks: Floats, size: Size, thresholds: Thresholds) -> SegmentedPicture:
    """A segment for each query whose likeliest class is one, and likely enough: the places where its mask, times its
    score, is the largest. In the order of the queries, numbered from 1; 0 is no segment's.

    Args:
        scores: float32 (queries, classes + 1); masks: float32 (queries, height, width).
    """
    chances = softmax(scores)
    labels, best = chances.argmax(axis=-1), chances.max(axis=-1)
    chosen = np.flatnonzero((labels != chances.shape[-1] - 1) & (best > thresholds.score))
    if not len(chosen):
        return SegmentedPicture(np.full(size, NOTHING, dtype=np.int32), ())
    labels, best = labels[chosen], best[chosen]
    winners = np.empty(size, dtype=np.int32)
    masked = np.zeros(len(chosen), dtype=np.int64)
    for rows, band in bands(sigmoid(masks[chosen]), size):
        band *= best[:, None, None]
        winners[rows] = band.argmax(axis=0)
        masked += np.count_nonzero(band >= thresholds.mask, axis=(1, 2))
    won = np.bincount(winners.ravel(), minlength=len(chosen))
    segments: list[Segment] = []
    numbers = np.zeros(len(chosen), dtype=np.int32)
    for place, (area, all_of_it) in enumerate(zip(won.tolist(), masked.tolist(), strict=True)):
        if area and all_of_it and float(np.float32(area) / np.float32(all_of_it)) > thresholds.overlap:
            numbers[place] = len(segments) + 1
            segments.append(Segment(len(segments) + 1, int(labels[place]), round(float(best[place]), _DIGITS)))
    return SegmentedPicture(numbers[winners], tuple(segments))


def of_pairs(scores: Floats, masks: Floats, size: Size, thresholds: Thresholds) -> SegmentedPicture:
    """A segment for each of the best pairs of a query and a class, as many as there are queries, that is likely enough:
    the places of the query's mask, weighed by how sure the mask is. Best first, numbered from 0; where masks overlap,
    a place is the last one's.

    The order is PyTorch's where there are 64 classes or more; with fewer, PyTorch's is that of an unsorted selection.

    Args:
        scores: float32 (queries, classes + 1); masks: float32 (queries, height, width).
    """
    chances = softmax(scores)[:, :-1]
    queries, classes = chances.shape
    segments: list[Segment] = []
    places = np.full(size, NOTHING, dtype=np.int32)
    for pair in top_k(chances.ravel(), queries):
        query, label = divmod(int(pair), classes)
        mask = masks[query]
        inside = mask > 0
        sure = float(sigmoid(mask)[inside].sum()) / (float(np.count_nonzero(inside)) + 1e-6)
        score = float(np.float32(float(chances[query, label]) * sure))
        if score < thresholds.score or not (covered := interpolate(inside, size, "nearest").astype(bool)).any():
            continue
        places[covered] = len(segments)
        segments.append(Segment(len(segments), label, round(score, _DIGITS)))
    return SegmentedPicture(places, tuple(segments))
