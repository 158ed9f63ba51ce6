"""Boxes with labels and scores, made of a detector's numbers as the manifest says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from onnxpress.format.boxes import DetectionSettings
from onnxpress.math import sigmoid, softmax, top_k


class Box(TypedDict):
    """In whole pixels of the picture; those outside it are left as the model says."""

    xmin: int
    ymin: int
    xmax: int
    ymax: int


class Detection(TypedDict):
    """`label`: a text, or a number where the checkpoint's config names its classes by numbers."""

    score: float
    label: Any
    box: Box


@dataclass(frozen=True, slots=True)
class ScoredBoxes:
    """What a detector found in a picture: float32 (n,), int64 (n,), and float32 (n, 4), edges as fractions of its."""

    scores: NDArray[np.float32]
    labels: NDArray[np.intp]
    edges: NDArray[np.float32]


def candidates(logits: NDArray[Any], boxes: NDArray[Any], settings: DetectionSettings) -> ScoredBoxes:
    """All that a detector has to say of a picture, in transformers' order.

    Args:
        logits: (queries, labels); boxes: (queries, 4).
    """
    edges = corners(boxes)
    if settings.scores == "softmax":
        scores = softmax(logits)[:, :-1]
        labels = scores.argmax(axis=-1)
        return ScoredBoxes(scores.max(axis=-1), labels, edges)
    scores = sigmoid(logits).ravel()
    places = top_k(scores, settings.most or len(logits))
    queries, labels = np.divmod(places, logits.shape[-1])
    return ScoredBoxes(scores[places], labels, edges[queries])


def corners(boxes: NDArray[Any]) -> NDArray[Any]:
    """Left, top, right and bottom edges of (n, 4) middles, widths and heights (`center_to_corners_format`)."""
    middles, halves = boxes[:, :2], np.float32(0.5) * boxes[:, 2:]
    return np.concatenate([middles - halves, middles + halves], axis=1)


def surer_than(threshold: float, every: ScoredBoxes) -> ScoredBoxes:
    """Those whose score is above a threshold."""
    sure = every.scores > threshold
    return ScoredBoxes(every.scores[sure], every.labels[sure], every.edges[sure])


def whole_pixels(edges: NDArray[Any], height: int, width: int) -> list[Box]:
    """Edges (n, 4), as fractions of a picture's, in its pixels, rounded towards zero."""
    pixels = (edges * np.array([width, height, width, height], np.float32)).astype(np.int64).tolist()
    return [Box(xmin=left, ymin=top, xmax=right, ymax=bottom) for left, top, right, bottom in pixels]
