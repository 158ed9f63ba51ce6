"""Tells whether a variant gives the original's answers, from the figures that its export measured. Pure.

A variant that passed the gate of its precision is *close*: good enough for its size. It gives the *same* answers where
each figure reaches the table's limit too, whatever its precision; only such a variant runs where nobody named one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from onnxpress.format.manifest import Variant
from onnxpress.format.precisions import REFERENCE

#: What a user would say of a variant's answers beside the original's.
AnswersClass = Literal["same", "close"]

#: How a figure's name ends that tells what is lost of the task's own metric on labelled rows.
LOSS = " loss"


@dataclass(frozen=True, slots=True)
class Figure:
    """`same`: the limit from which on a user cannot tell two models apart: the least, or of differences the most."""

    same: float
    smaller_is_better: bool = False

    def reached(self, value: float, limit: float) -> bool:
        """Whether a value is within a limit; NaN is within none."""
        return value <= limit if self.smaller_is_better else value >= limit


#: figure -> what counts as the same answers, for every figure that a gate judges.
FIGURES: Mapping[str, Figure] = MappingProxyType(
    {
        "cosine, mean": Figure(0.999),
        "cosine, worst": Figure(0.999),
        "neighbour overlap": Figure(0.99),
        "retrieval overlap": Figure(0.99),
        "label agreement": Figure(0.99),
        "span agreement": Figure(0.99),
        "box agreement": Figure(0.99),
        "top token agreement": Figure(0.99),
        "pairs in order": Figure(0.99),
        "largest score difference": Figure(0.05, smaller_is_better=True),
        "pixel agreement": Figure(0.99),
        "mask IoU": Figure(0.97),
        "depth error": Figure(0.01, smaller_is_better=True),
        "depth error, worst": Figure(0.03, smaller_is_better=True),
        "picture error, worst": Figure(0.01, smaller_is_better=True),
        "spectral distance": Figure(0.1, smaller_is_better=True),
        "letter agreement": Figure(0.99),
        "word error": Figure(0.01, smaller_is_better=True),
        "batch cosine distance": Figure(1e-5, smaller_is_better=True),
        "batch disagreement": Figure(0.0, smaller_is_better=True),
        "next-token agreement": Figure(0.99),
        "among the reference's first 5": Figure(0.999),
        "perplexity ratio": Figure(1.01, smaller_is_better=True),
        "divergence": Figure(0.002, smaller_is_better=True),
        "scores' correlation": Figure(0.999),
        "scores' correlation, untrained": Figure(0.999),
        "token agreement": Figure(0.99),
    }
)
_LOST = Figure(0.005, smaller_is_better=True)


def figure_of(name: str) -> Figure | None:
    """What is known of a figure; None: it says nothing of how near two models are, such as an accuracy alone."""
    return _LOST if name.endswith(LOSS) else FIGURES.get(name)


def answers_class(figures: Mapping[str, float]) -> AnswersClass:
    """Whether these figures of a variant's answers are those of the same answers; without any, nobody knows."""
    known = [(figure, value) for name, value in figures.items() if (figure := figure_of(name)) is not None]
    return "same" if known and all(figure.reached(value, figure.same) for figure, value in known) else "close"


def answers_of(precision: str, variant: Variant) -> AnswersClass:
    """The class of a variant's answers: the reference's are the same, whoever made it."""
    if precision == REFERENCE:
        return "same"
    return answers_class({} if variant.quality is None else variant.quality.measures)
