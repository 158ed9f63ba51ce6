"""Which figures are so far from perfect that speed means little beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from onnxpress.format.fidelity import FIGURES
from onnxpress_exporter.precisions import loosest

#: The end of a figure's name -> the figure whose loosest threshold is its bound.
_BOUNDS: Mapping[str, str] = {
    "cosine, worst": "cosine, worst",
    " agreement": "span agreement",
    "largest score difference": "largest score difference",
    "word error": "word error",
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
    for end, figure in _BOUNDS.items():
        if name.endswith(end):
            return Bound(loosest(figure), FIGURES[figure].smaller_is_better)
    return None


def is_wrong(name: str, value: float | None) -> bool:
    """Whether a figure is so far from perfect that speed means little beside it. NaN, or None for it, is wrong."""
    if value is None:
        return True
    limit = bound(name)
    if limit is None:
        return False
    return not (value <= limit.value if limit.smaller_is_better else value >= limit.value)
