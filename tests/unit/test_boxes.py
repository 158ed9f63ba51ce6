"""Boxes are made, compared and measured as their definitions say, on numbers that were worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxpress.errors import InputError
from onnxpress.format.boxes import DetectionSettings
from onnxpress.pipelines.boxes import candidates, corners, surer_than, whole_pixels
from onnxpress_exporter.judging.boxes import average_precision, compare_boxes, shares
from onnxpress_exporter.judging.cells import Cell
from onnxpress_exporter.judging.right_boxes import right_boxes

EDGE = st.integers(0, 40)


def box(label: str, *edges: float, score: float = 0.9) -> dict[str, Any]:
    return {"score": score, "label": label, "box": dict(zip(("xmin", "ymin", "xmax", "ymax"), edges, strict=True))}


def test_of_each_query_the_best_label_that_is_one() -> None:
    logits = np.log(np.array([[0.2, 0.5, 0.3], [0.1, 0.1, 0.8], [0.6, 0.3, 0.1]], np.float32))
    boxes = np.array([[0.5, 0.5, 0.2, 0.4], [0.1, 0.1, 0.1, 0.1], [0.25, 0.75, 0.5, 0.5]], np.float32)
    found = candidates(logits, boxes, DetectionSettings("softmax"))
    assert found.labels.tolist() == [1, 0, 0] and np.allclose(found.scores, [0.5, 0.1, 0.6])
    sure = surer_than(0.4, found)
    assert whole_pixels(sure.edges, 100, 200) == [
        {"xmin": 80, "ymin": 30, "xmax": 120, "ymax": 70},
        {"xmin": 0, "ymin": 50, "xmax": 100, "ymax": 100},
    ]


def test_of_all_labels_of_all_queries_the_best() -> None:
    logits = np.array([[0.0, 3.0], [2.0, 1.0]], np.float32)
    boxes = np.array([[0.1, 0.1, 0.2, 0.2], [0.5, 0.5, 0.2, 0.2]], np.float32)
    found = candidates(logits, boxes, DetectionSettings("sigmoid", most=3))
    assert found.labels.tolist() == [1, 0, 1] and (np.diff(found.scores) < 0).all()
    assert np.array_equal(found.edges, corners(boxes)[[0, 1, 1]])
    assert len(candidates(logits, boxes, DetectionSettings("sigmoid")).scores) == 2


def test_edges_are_rounded_towards_zero() -> None:
    (pixels,) = whole_pixels(np.array([[-0.019, 0.019, 0.999, 1.019]], np.float32), 100, 100)
    assert pixels == {"xmin": -1, "ymin": 1, "xmax": 99, "ymax": 101}


def test_shares_of_the_union() -> None:
    first, others = box("a", 0, 0, 10, 10), [box("a", 5, 0, 15, 10), box("a", 20, 0, 30, 10), box("b", 0, 0, 10, 10)]
    assert np.allclose(shares([first], others), [[1 / 3, 0, 1]])


@given(st.lists(st.tuples(EDGE, EDGE, EDGE, EDGE), min_size=1, max_size=5))
def test_a_box_is_wholly_like_itself_and_no_share_is_beyond_one(edges: list[tuple[int, int, int, int]]) -> None:
    boxes = [box("a", left, top, left + wide, top + tall) for left, top, wide, tall in edges]
    overlaps = shares(boxes, boxes)
    assert np.allclose(np.diag(overlaps), 1) and np.array_equal(overlaps, overlaps.T)
    assert (overlaps >= 0).all() and (overlaps <= 1).all()
    plain = [{key: entry[key] for key in ("label", "box")} for entry in boxes]
    figures = compare_boxes([boxes], [boxes])
    assert figures == {"box agreement": 1.0, "largest score difference": 0.0}
    distinct = [entry for place, entry in enumerate(plain) if entry not in plain[:place]]
    assert average_precision([[{**entry, "score": 0.9} for entry in distinct]], [distinct])["mAP"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("answer", "agreement"),
    [
        ([box("a", 0, 0, 10, 10), box("b", 20, 20, 30, 30)], 1),
        ([box("a", 1, 0, 10, 10), box("b", 20, 20, 30, 31, score=0.45)], 1),
        ([box("b", 0, 0, 10, 10), box("b", 20, 20, 30, 30)], 1 / 3),
        ([box("a", 0, 0, 10, 4), box("b", 20, 20, 30, 30)], 1 / 3),
        ([box("a", 0, 0, 10, 10), box("b", 20, 20, 30, 30), box("a", 50, 50, 60, 60)], 2 / 3),
        ([box("a", 0, 0, 10, 10), box("b", 20, 20, 30, 30), box("a", 50, 50, 60, 60, score=0.4)], 1),
        ([], 0),
    ],
)
def test_agreement(answer: list[dict[str, Any]], agreement: float) -> None:
    reference = [box("a", 0, 0, 10, 10), box("b", 20, 20, 30, 30)]
    assert compare_boxes([reference], [answer])["box agreement"] == pytest.approx(agreement)


def test_of_a_picture_without_a_sure_box_the_best_are_compared() -> None:
    reference = [box("a", 0, place, 10, place + 10, score=0.3 - place / 100) for place in range(0, 20, 2)]
    figures = compare_boxes([reference], [[{**entry, "score": entry["score"] - 0.1} for entry in reference]])
    assert figures["box agreement"] == 1 and figures["largest score difference"] == pytest.approx(0.1)
    assert compare_boxes([reference], [[]])["box agreement"] == 0


def test_average_precision_by_hand() -> None:
    """Two of three boxes are found, a wrong one between them: precision 1 up to a recall of 1/3, and 2/3 up to 2/3."""
    right = [box("a", 0, 0, 10, 10), box("a", 20, 0, 30, 10), box("a", 40, 0, 50, 10)]
    given = [
        box("a", 0, 0, 10, 10, score=0.9),
        box("a", 70, 0, 80, 10, score=0.8),
        box("a", 20, 0, 30, 10, score=0.7),
    ]
    figures = average_precision([given], [right])
    at_half = (34 * 1 + 33 * 2 / 3) / 101  # recalls 0, .01, ... .33 and .34 to .66
    assert figures["mAP@.5"] == pytest.approx(at_half) and figures["mAP"] == pytest.approx(at_half)


def test_average_precision_over_shares_and_labels() -> None:
    """One label is found with 60 % of the union, which three of the ten shares ask for; another one is not found."""
    right = [box("a", 0, 0, 10, 10), box("b", 0, 0, 10, 10)]
    figures = average_precision([[box("a", 0, 0, 10, 6)]], [right])
    assert figures["mAP@.5"] == pytest.approx(1 / 2) and figures["mAP"] == pytest.approx(3 / 10 / 2)
    assert average_precision([[]], [[]]) == {"mAP": 0.0, "mAP@.5": 0.0}


def test_a_box_that_is_found_twice_is_wrong_once() -> None:
    right = [box("a", 0, 0, 10, 10)], [box("a", 0, 0, 10, 10)]
    twice = [box("a", 0, 0, 10, 10, score=0.9), box("a", 0, 0, 10, 10, score=0.8)]
    figures = average_precision([twice, [box("a", 0, 0, 10, 10, score=0.7)]], right)
    assert figures["mAP"] == pytest.approx((51 + 50 * 2 / 3) / 101)


@pytest.mark.parametrize(
    "value",
    [
        [{"label": "b", "box": {"xmin": 1, "ymin": 2, "xmax": 4, "ymax": 6}}],
        [{"category": 1, "bbox": [1, 2, 3, 4], "area": 12}],
        {"category_id": [1], "bbox": [[1, 2, 3, 4]], "id": [9]},
        '[{"label": "B", "bbox": [1, 2, 3, 4]}]',
    ],
    ids=str,
)
def test_right_boxes_are_read_as_datasets_have_them(value: Any) -> None:
    assert right_boxes(Cell(value, "here"), ("a", "b")) == [
        {"label": "b", "box": {"xmin": 1, "ymin": 2, "xmax": 4, "ymax": 6}}
    ]
    assert right_boxes(Cell([], "here"), ("a", "b")) == []


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (7, "here: expected a list of boxes"),
        ([{"label": "b"}], 'here, entry 1: expected {"label"'),
        ([{"label": "b", "bbox": [1, 2, 3]}], 'here, entry 1: expected {"label"'),
        ([{"label": "c", "bbox": [1, 2, 3, 4]}], "here, entry 1: expected one of a, b"),
        ({"category": [1, 0], "bbox": [[1, 2, 3, 4]]}, "here: expected lists of one length"),
    ],
)
def test_wrong_boxes_are_named(value: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        right_boxes(Cell(value, "here"), ("a", "b"))
