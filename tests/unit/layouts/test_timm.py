"""What timm says of pictures in config.json: a program, or a refusal by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from onnxpress.errors import ArtifactError
from onnxpress.format.pictures import CenterCrop, PictureStep, Resize, ResizeEdge, ResizeOver
from onnxpress.layouts.files import Files
from onnxpress.layouts.picture_files.settings import PictureSettings, read_pictures


def read(folder: Path, saved: Mapping[str, Any]) -> PictureSettings:
    return read_pictures(Files(folder), {"architecture": "resnet18", "pretrained_cfg": saved})


@pytest.mark.parametrize(
    ("saved", "steps"),
    [
        ({}, (ResizeEdge(256, "bicubic"), CenterCrop(224, 224, even=True))),
        (
            {"input_size": [3, 288, 288], "crop_pct": 0.95, "interpolation": "bilinear"},
            (ResizeEdge(303, "bilinear"), CenterCrop(288, 288, even=True)),
        ),
        ({"input_size": [3, 64, 64], "crop_mode": "squash", "crop_pct": 1.0}, (Resize(64, 64, "bicubic"),)),
        ({"input_size": [3, 5, 9], "crop_pct": 0.5}, (ResizeOver(10, 18, "bicubic"), CenterCrop(5, 9, even=True))),
        ({"img_size": 70, "crop_pct": 1}, (ResizeEdge(70, "bicubic"), CenterCrop(70, 70, even=True))),
    ],
)  # fmt: skip
def test_what_a_config_says_is_a_program(
    saved: Mapping[str, Any], steps: tuple[PictureStep, ...], tmp_path: Path
) -> None:
    pictures = read(tmp_path, saved)
    assert pictures.image.steps == steps and pictures.source == "config.json"
    (normalization,) = pictures.image.values.normalizations
    assert normalization.mean == (0.485, 0.456, 0.406)


def test_one_number_is_that_of_all_channels(tmp_path: Path) -> None:
    (normalization,) = read(tmp_path, {"mean": [0.5], "std": [0.25]}).image.values.normalizations
    assert normalization.mean == (0.5,) * 3 and normalization.std == (0.25,) * 3


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        ({"input_size": [1, 224, 224]}, "takes 1 channels"),
        ({"input_size": [3, 224]}, "input_size should be channels, height and width"),
        ({"input_size": [3, 224, 1 << 20]}, "input_size should be"),
        ({"crop_mode": "border"}, "crop_mode 'border' is not read"),
        ({"interpolation": "random"}, "interpolation 'random' is no filter"),
        ({"interpolation": 3}, "interpolation should be a name"),
        ({"crop_pct": "all"}, "crop_pct should be a number"),
        ({"mean": "grey"}, "mean should be 3 numbers"),
        ({"std": [0, 1, 1]}, "zero"),
        ({"crop_pct": 1e-9}, "not a size"),
    ],
)
def test_what_is_not_read_is_refused_by_name(saved: Mapping[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=message):
        read(tmp_path, saved)
