"""Which figures are so far from perfect that speed means little beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from onnxpress_exporter.precisions import loosest

#: The end of a figure's name -> the figure whose loosest threshold is its bound, and whether smaller is better.
_BOUNDS: Mapping[str, tuple[str, bool]] = {
    "cosine, worst": ("cosine, worst", False),
    " agreement": ("span agreement", False),
    "largest score difference": ("largest score difference", True),
    "word error": ("word error", True),
}


@dataclass(frozen=True, slots=True)
class Bound:
    """The worst value of a figure that still counts as the model's answers: the least, or of differences the most."""

    value: float
    smaller_is_better: bool


def bound(name: str) -> Bound | None:
    """The bound that the gate sets for the precision with the loosest thresholds; None: another figure judges.

    The end of a figure's name tells what it is, such as the agreement of labels, spans or tokens.
    """
    for end, (figure, smaller) in _BOUNDS.items():
        if name.endswith(end):
            return Bound(loosest(figure, smaller_is_better=smaller), smaller)
    return None


def is_wrong(name: str, value: float | None) -> bool:
    """Whether a figure is so far from perfect that speed means little beside it. NaN, or None for it, is wrong."""
    if value is None:
        return True
    limit = bound(name)
    if limit is None:
        return False
    return not (value <= limit.value if limit.smaller_is_better else value >= limit.value)
