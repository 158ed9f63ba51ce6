"""Measures answers that are maps of a picture: segments, depths and pictures, beside the reference's and beside what is
right. Pure.

A share of pixels that differ, or of what is between two masks, says more than whether two maps are equal: where two
classes are as likely, rounding decides.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress_exporter.judging.figures import Answers, Figures

#: What stands in a map of labels where nobody says what is there.
UNKNOWN = -1

#: Of two pictures that are equal, in decibels; of others at most as much.
EQUAL_DB = 100.0

#: From this share of equal pixels on, to this relative difference of depths, and to this difference of pixels in steps
#: of 8 bits, two answers are one but for rounding.
_SAME_PIXELS, _SAME_DEPTH, _SAME_LEVEL = 0.999, 1e-3, 1

#: A depth that is within this factor of the right one counts (D. Eigen, C. Puhrsch, R. Fergus, NeurIPS 2014).
_NEAR = 1.25


@dataclass(frozen=True, slots=True)
class LabelMap:
    """`places`: int (height, width), the number in `labels` of what is there, or UNKNOWN."""

    labels: tuple[str, ...]
    places: NDArray[Any]


def compare_segments(reference: Answers, answers: Answers) -> Figures:
    """[{"label", "mask", ...}, ...] for each picture: the share of pixels with one label, and what masks of one label
    share, over what they cover together: of each label over all pictures, then the mean over labels."""
    pixels = [_pixel_agreement(a, b) for a, b in zip(reference, answers, strict=True)]
    areas: dict[Any, NDArray[Any]] = defaultdict(lambda: np.zeros(2, dtype=np.int64))
    for first, second in zip(reference, answers, strict=True):
        for label, shared, covered in _matched(first, second):
            areas[label] += (shared, covered)
    overlaps = [shared / covered for shared, covered in areas.values() if covered]
    return {"pixel agreement": float(np.mean(pixels)), "mask IoU": float(np.mean(overlaps)) if overlaps else 1.0}


def segments_beside_others(alone: Answers, together: Answers) -> Figures:
    """The share of pictures whose segments alone and in a batch differ by more than rounding."""
    return _beyond(lambda a, b: _pixel_agreement(a, b) < _SAME_PIXELS, alone, together)


def compare_masks(reference: Answers, answers: Answers) -> Figures:
    """{"masks": [...], ...} for each picture, as `compare_segments` compares segments, each mask with the one that
    shares most with it."""
    return compare_segments([_segments(answer) for answer in reference], [_segments(answer) for answer in answers])


def masks_beside_others(alone: Answers, together: Answers) -> Figures:
    """The share of pictures whose masks alone and in a batch cover other pixels, by more than rounding."""
    return segments_beside_others([_segments(answer) for answer in alone], [_segments(answer) for answer in together])


def _segments(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"label": "", "mask": mask} for mask in answer["masks"]]


def compare_depths(reference: Answers, answers: Answers) -> Figures:
    """{"predicted_depth", ...} for each picture: the mean difference over the mean depth."""
    errors = [_depth_error(a, b) for a, b in zip(reference, answers, strict=True)]
    return {"depth error": float(np.mean(errors)), "depth error, worst": float(np.max(errors))}


def depths_beside_others(alone: Answers, together: Answers) -> Figures:
    """The share of pictures whose depths alone and in a batch differ by more than rounding."""
    return _beyond(lambda a, b: not _depth_error(a, b) <= _SAME_DEPTH, alone, together)


def compare_pictures(reference: Answers, answers: Answers) -> Figures:
    """A picture of 8 bits for each: the root of the mean square of differences, over the largest that a pixel can have;
    and the same as a peak signal-to-noise ratio, in decibels."""
    errors = [
        float(np.sqrt(np.mean((_levels(a) - _levels(b)) ** 2))) / 255 for a, b in zip(reference, answers, strict=True)
    ]
    worst = max(errors)
    ratio = EQUAL_DB if worst == 0 else min(EQUAL_DB, -20 * float(np.log10(worst)))
    return {"picture error, worst": worst, "PSNR, worst": ratio}


def pictures_beside_others(alone: Answers, together: Answers) -> Figures:
    """The share of pictures that differ by more than rounding, made alone and in a batch."""
    return _beyond(lambda a, b: np.abs(_levels(a) - _levels(b)).max() > _SAME_LEVEL, alone, together)


def score_segments(answers: Sequence[Any], targets: Sequence[LabelMap]) -> Figures:
    """Mean IoU over the classes that are in any map (M. Everingham et al., IJCV 2010), and the share of pixels that
    have the right label; what is UNKNOWN counts for neither."""
    labels = targets[0].labels
    confusion = np.zeros((len(labels), len(labels) + 1), dtype=np.int64)  # right, answered; last: nothing answered
    for answer, target in zip(answers, targets, strict=True):
        obtained, known = _labels_of(answer, target.places.shape, labels), target.places != UNKNOWN
        pairs = target.places[known] * (len(labels) + 1) + np.where(obtained < 0, len(labels), obtained)[known]
        confusion += np.bincount(pairs, minlength=confusion.size).reshape(confusion.shape)
    right = np.diagonal(confusion)
    covered = confusion.sum(axis=1) + confusion[:, :-1].sum(axis=0) - right
    overlaps = right[covered > 0] / covered[covered > 0]
    return {"mean IoU": float(overlaps.mean()), "pixel accuracy": float(right.sum() / confusion.sum())}


def score_depths(answers: Sequence[Any], targets: Sequence[NDArray[Any]]) -> Figures:
    """1 less the mean relative difference (0 at least), and the share of pixels within a factor of 1.25, of the pixels
    whose depth was measured: those above 0."""
    errors, near = [], []
    for answer, target in zip(answers, targets, strict=True):
        measured = np.isfinite(target) & (target > 0)
        right, depth = target[measured].astype(np.float64), answer["predicted_depth"][measured].astype(np.float64)
        errors.append(float(np.mean(np.abs(depth - right) / right)))
        near.append(float(np.mean((depth < _NEAR * right) & (right < _NEAR * depth))))
    return {"1 - abs-rel": max(0.0, 1 - float(np.mean(errors))), "within 1.25": float(np.mean(near))}


def _beyond(differs: Callable[[Any, Any], Any], alone: Answers, together: Answers) -> Figures:
    different = [bool(differs(a, b)) for a, b in zip(alone, together, strict=True)]
    return {"batch disagreement": float(np.mean(different))}


def _pixel_agreement(first: Sequence[Mapping[str, Any]], second: Sequence[Mapping[str, Any]]) -> float:
    masked = [*first, *second]
    if not masked:
        return 1.0
    shape = _places(masked[0]["mask"]).shape
    labels = tuple(dict.fromkeys(entry["label"] for entry in masked))
    return float(np.mean(_labels_of(first, shape, labels) == _labels_of(second, shape, labels)))


def _labels_of(answer: Sequence[Mapping[str, Any]], shape: tuple[int, ...], labels: Sequence[Any]) -> NDArray[np.int64]:
    """int (height, width): the number of each place's label, UNKNOWN where no mask is, or one of another label."""
    places, numbers = np.full(shape, UNKNOWN, dtype=np.int64), {label: number for number, label in enumerate(labels)}
    for entry in answer:
        places[_places(entry["mask"])] = numbers.get(entry["label"], UNKNOWN)
    return places


def _matched(first: Sequence[Mapping[str, Any]], second: Sequence[Mapping[str, Any]]) -> Sequence[tuple[Any, int, int]]:
    """(label, pixels that are shared, pixels that are covered) of each mask and the one of the same label that shares
    most with it, and of each that is left."""
    rows = []
    left = [(entry["label"], _places(entry["mask"])) for entry in second]
    for entry in first:
        mask = _places(entry["mask"])
        shared = [int(np.count_nonzero(mask & other)) if label == entry["label"] else 0 for label, other in left]
        area, best = int(np.count_nonzero(mask)), int(np.argmax(shared)) if any(shared) else None
        if best is None:
            rows.append((entry["label"], 0, area))
        else:
            other = left.pop(best)[1]
            rows.append((entry["label"], shared[best], area + int(np.count_nonzero(other)) - shared[best]))
    return [*rows, *((label, 0, int(np.count_nonzero(mask))) for label, mask in left)]


def _places(mask: Any) -> NDArray[np.bool_]:
    """bool (height, width) of a grey picture."""
    return np.asarray(mask) > 0


def _depth_error(reference: Mapping[str, Any], answer: Mapping[str, Any]) -> float:
    a, b = (np.asarray(side["predicted_depth"], dtype=np.float64) for side in (reference, answer))
    return float(np.mean(np.abs(a - b)) / max(float(np.mean(np.abs(a))), 1e-12))


def _levels(picture: Any) -> NDArray[np.float64]:
    return np.asarray(picture, dtype=np.float64)
