"""The part of `onnxpress.json` that says how a detector's numbers become boxes with labels and scores.

docs/artifact.md describes every field for readers of other languages.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class DetectionSettings:
    """Of a picture a detector answers `logits` (queries, labels) and `pred_boxes` (queries, 4).

    `scores`: "softmax", whose last number of a query says that it found nothing: its best label and that one's score,
    in the order of the queries; "sigmoid": the best of all labels of all queries, best first. `most`: at most so many
    of these; None: as many as there are queries. `boxes`: "center-size", each one's middle, width and height, as
    fractions of the picture's.
    """

    scores: Literal["softmax", "sigmoid"]
    most: int | None = None
    boxes: Literal["center-size"] = "center-size"
