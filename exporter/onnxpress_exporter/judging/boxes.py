"""How good boxes are: agreement with a reference's, and average precision beside the right ones. Pure.

Boxes are [{"score", "label", "box": {"xmin", "ymin", "xmax", "ymax"}}, ...] of a picture, as its pipeline answers;
right ones have no score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Boxes = Sequence[Mapping[str, Any]]

EDGES = ("xmin", "ymin", "xmax", "ymax")

#: Two boxes are the same from this share of their union on.
SAME = 0.5

#: Boxes of a reference that an answer is to have: with a score from here on, as callers ask for unless they say else.
SURE = 0.5
#: Of a picture without one that is sure, so many of the best.
BEST = 5

#: Of unions, and of recall: those that COCO's evaluation averages over.
_UNIONS = np.linspace(0.5, 0.95, 10)
_RECALLS = np.linspace(0, 1, 101)

#: Boxes of one label in a picture that count, the best.
_MOST = 100


def shares(first: Boxes, second: Boxes) -> NDArray[np.float64]:
    """(first, second): the shares of their unions that boxes have in common."""
    a, b = corners(first)[:, None], corners(second)[None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    common = np.prod(np.maximum(sides, 0), axis=-1)
    areas = [np.prod(np.maximum(box[..., 2:] - box[..., :2], 0), axis=-1) for box in (a, b)]
    union = areas[0] + areas[1] - common
    # Of two boxes without pixels, those at one place are the same.
    share: NDArray[np.float64] = np.where(
        union > 0, common / np.where(union > 0, union, 1), np.all(a == b, axis=-1).astype(np.float64)
    )
    return share


def corners(boxes: Boxes) -> NDArray[np.float64]:
    """float64 (boxes, 4): xmin, ymin, xmax, ymax."""
    return np.array([[entry["box"][edge] for edge in EDGES] for entry in boxes], np.float64).reshape(-1, 4)


def compare_boxes(reference: Sequence[Boxes], answers: Sequence[Boxes]) -> dict[str, float]:
    """The share of the reference's boxes that an answer has with the same label and nearly the same edges, over those
    that either is sure of; of a picture where neither is, over the reference's best. And the largest difference of the
    scores of these."""
    same = every = 0
    differences = [0.0]
    for expected, obtained in zip(reference, answers, strict=True):
        wanted, others = _sure(expected) or _best(expected), _sure(obtained)
        matches = _matches(wanted, obtained)
        matched = {place for place in matches if place is not None}
        extra = [entry for place, entry in enumerate(obtained) if entry in others and place not in matched]
        # What only the answer is sure of counts, too, unless the reference has it with a lower score.
        missing = sum(place is None for place in _matches(extra, expected))
        every += len(wanted) + missing
        same += len(matched)
        differences += [
            abs(float(entry["score"]) - float(obtained[place]["score"]))
            for entry, place in zip(wanted, matches, strict=True)
            if place is not None
        ]
    return {"box agreement": same / every if every else 1.0, "largest score difference": max(differences)}


def _sure(boxes: Boxes) -> list[Mapping[str, Any]]:
    return [entry for entry in boxes if float(entry["score"]) >= SURE]


def _best(boxes: Boxes) -> list[Mapping[str, Any]]:
    return sorted(boxes, key=lambda entry: -float(entry["score"]))[:BEST]


def _matches(wanted: Boxes, boxes: Boxes) -> list[int | None]:
    """For each box, the nearest other one of its label that no earlier one has; None: none is near enough."""
    overlaps = shares(wanted, boxes)
    taken: set[int] = set()
    places: list[int | None] = []
    for row, entry in zip(overlaps, wanted, strict=True):
        near = [
            (share, -place)
            for place, share in enumerate(row.tolist())
            if share >= SAME and place not in taken and boxes[place]["label"] == entry["label"]
        ]
        place = -max(near)[1] if near else None
        if place is not None:
            taken.add(place)
        places.append(place)
    return places


def average_precision(answers: Sequence[Boxes], targets: Sequence[Boxes]) -> dict[str, float]:
    """COCO's: the mean over labels and over ten shares of the union, and that at half (T.-Y. Lin et al., ECCV 2014;
    cocodataset.org, "Detection Evaluate"), without crowds. Labels that no picture has are left out."""
    labels = sorted({entry["label"] for boxes in targets for entry in boxes}, key=str)
    by_label = [_precisions(answers, targets, label) for label in labels]
    means = np.mean(by_label, axis=0) if by_label else np.zeros(len(_UNIONS))
    return {"mAP": float(means.mean()), "mAP@.5": float(means[0])}


def _precisions(answers: Sequence[Boxes], targets: Sequence[Boxes], label: Any) -> NDArray[np.float64]:
    """(shares of the union,): the average precision of one label."""
    scores: list[float] = []
    hits: list[NDArray[np.bool_]] = []
    count = 0
    for boxes, right in zip(answers, targets, strict=True):
        wanted = [entry for entry in right if entry["label"] == label]
        answered = sorted(
            (entry for entry in boxes if entry["label"] == label), key=lambda entry: -float(entry["score"])
        )
        answered = answered[:_MOST]
        count += len(wanted)
        scores += [float(entry["score"]) for entry in answered]
        hits += list(_hits(shares(answered, wanted)))
    order = np.argsort(-np.array(scores), kind="stable")
    right_so_far = np.cumsum(np.array(hits, bool).reshape(-1, len(_UNIONS))[order], axis=0)
    recalls = right_so_far / count
    precisions = right_so_far / np.arange(1, len(order) + 1)[:, None]
    # The best precision at this recall or a higher one.
    precisions = np.maximum.accumulate(precisions[::-1], axis=0)[::-1]
    return np.array([_averaged(recalls[:, place], precisions[:, place]) for place in range(len(_UNIONS))])


def _averaged(recalls: NDArray[np.float64], precisions: NDArray[np.float64]) -> float:
    places = np.searchsorted(recalls, _RECALLS, side="left")
    return float(np.append(precisions, 0.0)[places].mean())


def _hits(overlaps: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(boxes, shares of the union): whether each box, the surest first, has a right one of its own."""
    hits = np.zeros((len(overlaps), len(_UNIONS)), bool)
    for place, least in enumerate(_UNIONS):
        left = np.ones(overlaps.shape[1], bool)
        for box, row in enumerate(overlaps):
            near = np.where(left & (row >= min(least, 1 - 1e-10)), row, -1.0)
            if len(near) and near.max() >= 0:
                # Of equal ones the last, as COCO's code takes it.
                left[len(near) - 1 - int(near[::-1].argmax())] = False
                hits[box, place] = True
    return hits
