"""How far maps are from the reference's: masks, depths, pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxpress_exporter.judging.maps import (
    EQUAL_DB,
    compare_depths,
    compare_pictures,
    compare_segments,
    depths_beside_others,
    pictures_beside_others,
    segments_beside_others,
)

PLACES = st.lists(st.integers(-1, 2), min_size=12, max_size=12).map(lambda values: np.array(values).reshape(3, 4))


def segments(places: np.ndarray[Any, Any]) -> list[dict[str, Any]]:
    return [
        {"label": f"class {number}", "score": None, "mask": np.uint8(255) * (places == number)}
        for number in range(3)
        if (places == number).any()
    ]


@given(st.lists(PLACES, min_size=1, max_size=4))
def test_equal_segments_agree(maps: list[Any]) -> None:
    answers = [segments(places) for places in maps]
    assert compare_segments(answers, answers) == {"pixel agreement": 1.0, "mask IoU": 1.0}
    assert segments_beside_others(answers, answers) == {"batch disagreement": 0.0}


def test_what_masks_share_counts_by_label() -> None:
    first, second = np.array([[0, 0, 1, 1]]), np.array([[0, 1, 1, 1]])
    figures = compare_segments([segments(first)], [segments(second)])
    assert figures == {"pixel agreement": 0.75, "mask IoU": pytest.approx((1 / 2 + 2 / 3) / 2)}
    assert segments_beside_others([segments(first)] * 2, [segments(first), segments(second)]) == {
        "batch disagreement": 0.5
    }


def test_two_segments_of_one_label_are_matched_with_those_that_share_most() -> None:
    masks = [np.array([[255, 255, 0, 0]], np.uint8), np.array([[0, 0, 255, 255]], np.uint8)]
    one_way = [{"label": "cat", "mask": mask} for mask in masks]
    assert compare_segments([one_way], [one_way[::-1]])["mask IoU"] == 1.0
    assert compare_segments([one_way], [one_way[:1]])["mask IoU"] == 0.5
    assert compare_segments([one_way], [[]]) == {"pixel agreement": 0.0, "mask IoU": 0.0}
    assert compare_segments([[]], [[]]) == {"pixel agreement": 1.0, "mask IoU": 1.0}


def test_depths() -> None:
    depth = {"predicted_depth": np.array([[1.0, 3.0]], np.float32)}
    other = {"predicted_depth": np.array([[1.0, 2.0]], np.float32)}
    assert compare_depths([depth, depth], [depth, other]) == {"depth error": 0.125, "depth error, worst": 0.25}
    assert depths_beside_others([depth, depth], [depth, other]) == {"batch disagreement": 0.5}
    broken = {"predicted_depth": np.array([[1.0, np.nan]], np.float32)}
    assert np.isnan(compare_depths([depth], [broken])["depth error"])
    assert depths_beside_others([depth], [broken]) == {"batch disagreement": 1.0}


def test_pictures() -> None:
    black, grey = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 51, np.uint8)
    assert compare_pictures([black], [black]) == {"picture error, worst": 0.0, "PSNR, worst": EQUAL_DB}
    assert compare_pictures([black] * 2, [black, grey]) == pytest.approx(
        {"picture error, worst": 0.2, "PSNR, worst": 13.98}, abs=0.01
    )
    assert pictures_beside_others([black, black], [black, black + np.uint8(1)]) == {"batch disagreement": 0.0}
    assert pictures_beside_others([black], [grey]) == {"batch disagreement": 1.0}
