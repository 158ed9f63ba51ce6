"""Checkpoints of timm against transformers' pipelines, which load them by its class TimmWrapper. Skipped where timm
cannot be imported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from onnxpress import pipeline
from onnxpress.image.opening import open_picture
from onnxpress.image.transform import Transform
from onnxpress.layouts.files import Files
from onnxpress.layouts.picture_files.settings import read_pictures
from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.source.checkpoint import open_checkpoint
from tests.fixtures.store import Store
from tests.fixtures.tiny_timm import ARCHITECTURES, LABELS, timm_or_skip, tiny_timm_checkpoint
from tests.parity.alike import SCORE, assert_alike

CLASSES, FEATURES = "image-classification", "image-feature-extraction"

#: Those that are compared each time, of both tasks; the others only at night.
FAST = ("vit_tiny_patch16_224", "resnet10t")
ROWS = [name if name in FAST else pytest.param(name, marks=pytest.mark.nightly) for name in ARCHITECTURES]


def picture(height: int, width: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


PICTURES = [picture(60, 80), picture(200, 33), picture(64, 64), picture(17, 25), Image.new("RGB", (90, 70), "teal")]

_SETTINGS: tuple[Mapping[str, Any], ...] = (
    {"crop_pct": None},
    {"input_size": [3, 50, 64], "crop_pct": 0.9},
    {"input_size": [3, 64, 50], "interpolation": "bilinear"},
    {"input_size": [3, 64, 64], "crop_pct": 0.883, "mean": [0.5], "std": [0.25]},
    {"input_size": [3, 64, 48], "crop_mode": "squash", "crop_pct": 0.8},
    {"input_size": [3, 61, 61], "crop_pct": 1.0, "interpolation": "lanczos"},
    {"img_size": 40, "crop_pct": 1.2, "interpolation": "nearest"},
)


@pytest.mark.parametrize("settings", _SETTINGS, ids=str)
def test_the_numbers_are_timms(settings: Mapping[str, Any], tmp_path: Path) -> None:
    """What its file alone says, on sizes of all remainders."""
    timm_or_skip()
    from transformers import TimmWrapperImageProcessor

    processor = TimmWrapperImageProcessor(pretrained_cfg=dict(settings), architecture="resnet10t")
    transform = Transform(read_pictures(Files(tmp_path), {"pretrained_cfg": settings}).image)
    for seed, (height, width) in enumerate([(60, 80), (61, 83), (200, 62), (97, 98), (30, 45), (301, 299)]):
        image = picture(height, width, seed)
        expected = processor(image)["pixel_values"][0].numpy()
        obtained = transform(open_picture(image))
        assert obtained.shape == expected.shape and np.abs(obtained - expected).max() <= 1e-6


@pytest.mark.parametrize("classes", [True, False])
@pytest.mark.parametrize("name", ROWS)
def test_answers_are_transformers(
    name: str, classes: bool, tmp_path: Path, store: Store, reference: Callable[..., Any]
) -> None:
    checkpoint = tiny_timm_checkpoint(name, tmp_path / name, classes=classes)
    ours, theirs = pipeline(model=store.artifact(checkpoint)), reference(checkpoint, CLASSES if classes else FEATURES)
    assert ours.task == (CLASSES if classes else FEATURES)
    expected = theirs(PICTURES)
    if classes:
        assert {answer["label"] for answer in ours(PICTURES[0])} == set(LABELS)
    largest = 1.0 if classes else max(float(np.abs(np.array(states)).max()) for states in expected)
    assert_alike(ours(PICTURES), expected, tolerance=SCORE * max(largest, 1.0))
    assert_alike([ours(image) for image in PICTURES], ours(PICTURES), tolerance=SCORE * max(largest, 1.0))


def test_an_architecture_that_timm_does_not_have(tmp_path: Path) -> None:
    folder = tiny_timm_checkpoint("vit_tiny_patch16_224", tmp_path / "checkpoint")
    file = folder / "config.json"
    file.write_text(file.read_text().replace("vit_tiny_patch16_224", "vit_of_tomorrow"))
    with pytest.raises(UnsupportedCheckpoint, match="has no architecture 'vit_of_tomorrow'"):
        open_checkpoint(folder)
