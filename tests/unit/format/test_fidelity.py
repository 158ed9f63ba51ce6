"""The class of a variant's answers, from its figures alone."""

from __future__ import annotations

import math

import pytest

from onnxpress.format.fidelity import FIGURES, answers_class, answers_of
from onnxpress.format.manifest import Quality, Variant

SAME_WRITER = {"next-token agreement": 0.995, "perplexity ratio": 1.002, "divergence": 0.001}


@pytest.mark.parametrize("name", FIGURES)
def test_each_figure_decides_at_its_limit(name: str) -> None:
    figure = FIGURES[name]
    beyond = figure.same + (1e-3 if figure.smaller_is_better else -1e-3)
    assert answers_class({name: figure.same}) == "same"
    assert answers_class({name: beyond}) == "close"
    assert answers_class({name: math.nan}) == "close"


def test_one_figure_beyond_its_limit_is_enough() -> None:
    assert answers_class(SAME_WRITER) == "same"
    assert answers_class({**SAME_WRITER, "next-token agreement": 0.748}) == "close"
    assert answers_class({**SAME_WRITER, "accuracy loss": 0.02}) == "close"


def test_what_says_nothing_of_nearness_does_not_count() -> None:
    assert answers_class({**SAME_WRITER, "accuracy": 0.6, "accuracy of the reference": 0.6}) == "same"
    assert answers_class({"accuracy": 1.0}) == "close", "nothing was compared"


def test_without_figures_only_the_reference_is_the_same() -> None:
    judged = Variant({}, 0, quality=Quality("PyTorch", 1, 1, 0.0, 1.0, 0.0, 1.0, measures={"cosine, worst": 1.0}))
    assert answers_of("fp32", Variant({}, 0)) == "same"
    assert answers_of("int8", Variant({}, 0)) == "close"
    assert answers_of("int8", judged) == "same"
