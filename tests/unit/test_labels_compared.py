"""Best labels beside the reference's: a preference that is lost counts, and a tie that falls the other way does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from onnxpress_exporter.judging.figures import (
    NEAR_TIE,
    batch_disagreement,
    compare_labels,
    compare_sorted_labels,
    equal_labels,
    equal_sorted_labels,
)


def _answer(scores: Mapping[str, float]) -> list[dict[str, Any]]:
    return [{"label": label, "score": score} for label, score in scores.items()]


def _sorted(scores: Mapping[str, float]) -> dict[str, Any]:
    labels = sorted(scores, key=lambda label: -scores[label])
    return {"labels": labels, "scores": [scores[label] for label in labels]}


CERTAIN, TIED = {"cat": 0.7, "dog": 0.2, "cow": 0.1}, {"cat": 0.402, "dog": 0.4, "cow": 0.198}
DOG, COW = {"cat": 0.3, "dog": 0.6, "cow": 0.1}, {"cat": 0.3, "dog": 0.1, "cow": 0.6}


@pytest.mark.parametrize(
    ("reference", "answer", "agrees"),
    [
        (CERTAIN, CERTAIN, 1.0),
        (CERTAIN, DOG, 0.0),
        (TIED, TIED, 1.0),
        (TIED, DOG, 1.0),
        (TIED, COW, 0.0),
        ({"cat": NEAR_TIE * 0.1 + 1e-6, "dog": 0.1}, {"cat": 0.0, "dog": 0.1}, 0.0),
    ],
    ids=["the same", "another", "the same of two alike", "the other of two alike", "neither of two alike", "preferred"],
)
def test_a_label_that_the_reference_finds_as_likely_agrees(
    reference: Mapping[str, float], answer: Mapping[str, float], agrees: float
) -> None:
    assert compare_labels([_answer(reference)], [_answer(answer)])["label agreement"] == agrees
    assert compare_sorted_labels([_sorted(reference)], [_sorted(answer)])["label agreement"] == agrees


def test_a_label_that_the_reference_has_not_disagrees() -> None:
    figures = compare_labels([_answer(CERTAIN)], [_answer({"bird": 0.9, "cat": 0.1})])
    assert figures == {"label agreement": 0.0, "largest score difference": pytest.approx(0.9)}


def test_the_share_is_that_of_all_inputs() -> None:
    reference = [_answer(scores) for scores in (CERTAIN, TIED, TIED, CERTAIN)]
    answers = [_answer(scores) for scores in (CERTAIN, DOG, COW, DOG)]
    assert compare_labels(reference, answers)["label agreement"] == 0.5


def test_in_a_batch_ties_count() -> None:
    alone, together = _answer(TIED), _answer({**TIED, "dog": 0.403})
    assert batch_disagreement(equal_labels)([alone], [together]) == {"batch disagreement": 1.0}
    assert batch_disagreement(equal_labels)([alone], [alone]) == {"batch disagreement": 0.0}
    assert batch_disagreement(equal_sorted_labels)([_sorted(TIED)], [_sorted({**TIED, "dog": 0.403})]) == {
        "batch disagreement": 1.0
    }
