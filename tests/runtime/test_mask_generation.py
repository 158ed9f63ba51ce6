"""mask-generation: masks, scores, boxes and runs of a picture whose colours are found, on an artifact without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import onnxpress
from onnxpress.errors import InputError
from onnxpress.pipelines.masks import mask_of_runs, runs_of
from tests.fixtures.finding import SCORES, write_finder


@pytest.fixture(scope="module")
def pipe(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return onnxpress.pipeline("mask-generation", write_finder(tmp_path_factory.mktemp("finder") / "a"), threads=1)


def picture(width: int = 60, height: int = 40) -> Image.Image:
    """Red on the left, blue in the lower right corner."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 3, 0] = 255
    pixels[height // 2 :, width // 2 :, 2] = 255
    return Image.fromarray(pixels)


def test_every_thing_is_found_once_and_the_surest_comes_first(pipe: Any) -> None:
    found = pipe(picture(), points_per_crop=4, stability_score_thresh=0.8, output_bboxes_mask=True)
    assert found.keys() == {"masks", "scores", "bounding_boxes"}
    assert found["scores"] == pytest.approx([SCORES[0], SCORES[2]])
    red, blue = found["masks"]
    assert red.shape == blue.shape == (40, 60)
    assert red[:, :18].all() and not red[:, 22:].any()
    assert blue[22:, 32:].all() and not blue[:18].any()
    assert np.abs(found["bounding_boxes"] - [[0, 0, 19, 39], [30, 20, 59, 39]]).max() <= 1


def test_thresholds_leave_out_what_is_not_above_them(pipe: Any) -> None:
    assert len(pipe(picture(), points_per_crop=2, stability_score_thresh=0, pred_iou_thresh=0.98)["masks"]) == 1
    assert pipe(picture(), points_per_crop=2, pred_iou_thresh=1.0) == {"masks": [], "scores": pytest.approx([])}
    every = pipe(picture(), points_per_crop=2, stability_score_thresh=0.5, crops_nms_thresh=1.0)
    assert len(every["masks"]) == 8


@settings(max_examples=20, deadline=None)
@given(st.none() | st.integers(1, 30), st.integers(1, 5), st.integers(0, 1), st.integers(20, 70), st.integers(20, 70))
def test_points_that_are_computed_together_change_nothing(
    pipe: Any, together: int | None, points: int, layers: int, width: int, height: int
) -> None:
    call = {"points_per_crop": points, "crops_n_layers": layers, "stability_score_thresh": 0.5}
    more = {"output_rle_mask": True, "output_bboxes_mask": True}
    first = pipe(picture(width, height), points_per_batch=64, **call, **more)
    (second, _) = pipe([picture(width, height), picture()], points_per_batch=together, **call, **more)
    assert first["rle_mask"] == second["rle_mask"]
    assert np.array_equal(first["scores"], second["scores"])
    assert np.array_equal(first["bounding_boxes"], second["bounding_boxes"])
    assert all(
        np.array_equal(mask, mask_of_runs(runs)) for mask, runs in zip(first["masks"], first["rle_mask"], strict=True)
    )


@given(st.integers(1, 9), st.integers(1, 9), st.data())
def test_runs_are_the_mask(height: int, width: int, data: st.DataObject) -> None:
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=height * width, max_size=height * width)))
    mask = mask.reshape(height, width)
    runs = runs_of(mask)
    assert sum(runs["counts"]) == mask.size
    assert np.array_equal(mask_of_runs(runs), mask)


@pytest.mark.parametrize(
    "option",
    [
        {"points_per_batch": 0},
        {"points_per_crop": 0},
        {"points_per_crop": 2.5},
        {"crops_n_layers": -1},
        {"crops_n_layers": 9},
        {"crop_overlap_ratio": 1.0},
        {"pred_iou_thresh": "high"},
        {"mask_threshold": float("nan")},
        {"crops_n_layers": 2, "points_per_crop": 3, "crop_n_points_downscale_factor": 2},
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_by_name(pipe: Any, option: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="|".join(option)):
        pipe(picture(), **option)


def test_the_command_draws_masks(pipe: Any, tmp_path: Path) -> None:
    from onnxpress.cli.pictures import Drawings, describe

    picture().save(tmp_path / "in.png")
    found = pipe(tmp_path / "in.png", points_per_crop=2, stability_score_thresh=0.5)
    first = str(describe(found)).splitlines()[0]
    rows, columns = np.nonzero(found["masks"][0])
    assert f"% of the picture, x {columns.min()} to {columns.max()}, y {rows.min()} to {rows.max()}" in first
    (drawn,) = Drawings(tmp_path / "out.png").write(str(tmp_path / "in.png"), found)
    with Image.open(drawn) as image:
        assert image.width >= 60
