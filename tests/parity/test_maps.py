"""Tasks that answer pictures with maps, against transformers' pipelines: every architecture, alone and in batches."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from onnxpress import pipeline
from onnxpress_exporter.judging.data import table_of
from onnxpress_exporter.judging.metrics import score
from onnxpress_exporter.tasks.evaluation import evaluation_of
from tests.fixtures.store import Store
from tests.fixtures.tiny_maps import MODELS, tiny_map_checkpoint

SEGMENTS, DEPTH = "image-segmentation", "depth-estimation"

#: In the tests of every day; the rest run nightly.
DAILY = ("segformer", "dpt")

#: Models whose instances are the best pairs of a query and a class.
PAIRS = ("maskformer", "maskformer-swin", "mask2former")

#: Options of a call, where the task has any: models with random weights are sure of nothing.
OPTIONS: dict[str, list[dict[str, Any]]] = {
    SEGMENTS: [
        {"subtask": subtask, "threshold": 0.0, "overlap_mask_area_threshold": overlap}
        for subtask in ("panoptic", "instance", "semantic")
        for overlap in (0.0, 0.5)
    ]
}


def picture(height: int, width: int, seed: int = 0) -> Image.Image:
    """A coarse one: of noise, all answers look alike."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


PICTURES = [picture(60, 80), picture(200, 33, 1), picture(64, 64, 2), picture(131, 97, 3), picture(60, 80, 4)]


def assert_same_map(obtained: Any, expected: Any) -> None:
    """The same answers but for rounding: of a mask, one pixel in a thousand."""
    if isinstance(expected, list):
        assert [segment["label"] for segment in obtained] == [segment["label"] for segment in expected]
        for ours, theirs in zip(obtained, expected, strict=True):
            assert list(ours) == list(theirs) and ours["mask"].mode == theirs["mask"].mode == "L"
            assert (ours["score"] is None) == (theirs["score"] is None)
            assert ours["score"] is None or abs(ours["score"] - theirs["score"]) < 1e-4
            assert np.mean(np.asarray(ours["mask"]) != np.asarray(theirs["mask"])) <= 1e-3
        return
    assert list(obtained) == list(expected)
    depth = expected["predicted_depth"].numpy()
    assert obtained["predicted_depth"].dtype == np.float32 and obtained["predicted_depth"].shape == depth.shape
    assert np.allclose(obtained["predicted_depth"], depth, atol=1e-4 * max(1.0, float(np.abs(depth).max())))
    levels = np.asarray(obtained["depth"], int) - np.asarray(expected["depth"], int)
    assert obtained["depth"].mode == expected["depth"].mode and np.abs(levels).max() <= 1


def assert_same_set(obtained: Any, expected: Any) -> None:
    """The same labels and scores, in any order: of pairs of fewer than 64 classes PyTorch's is not defined, nor which
    segment has a place of two."""
    ours, theirs = (
        sorted((entry["label"], round(entry["score"], 3)) for entry in side) for side in (obtained, expected)
    )
    assert [label for label, _ in ours] == [label for label, _ in theirs]
    assert all(abs(a - b) <= 2e-3 for (_, a), (_, b) in zip(ours, theirs, strict=True))


def assert_same_alone(together: Any, alone: Any) -> None:
    """An answer from a batch, beside the same picture's alone."""
    if isinstance(alone, list):
        assert [segment["label"] for segment in together] == [segment["label"] for segment in alone]
        pairs = [(a["mask"], b["mask"]) for a, b in zip(together, alone, strict=True)]
        assert all(np.mean(np.asarray(a) != np.asarray(b)) <= 1e-3 for a, b in pairs)
    elif isinstance(alone, dict):
        assert np.allclose(together["predicted_depth"], alone["predicted_depth"], rtol=1e-4, atol=1e-4)
    else:
        assert np.abs(np.asarray(together, int) - np.asarray(alone, int)).max() <= 1


@pytest.mark.parametrize(
    "name", [name if name in DAILY else pytest.param(name, marks=pytest.mark.nightly) for name in MODELS]
)
def test_every_architecture(
    name: str, tmp_path_factory: pytest.TempPathFactory, store: Store, reference: Callable[..., Any]
) -> None:
    checkpoint = tiny_map_checkpoint(name, tmp_path_factory.mktemp("maps") / name)
    task = MODELS[name].task
    expected = reference(checkpoint, task) if task in (SEGMENTS, DEPTH) else Larger(checkpoint)
    with pipeline(model=store.artifact(checkpoint)) as ours:
        assert ours.task == task
        for options in OPTIONS.get(task, [{}]):
            if options.get("subtask") not in (None, *subtasks(ours)):
                continue
            alone = [ours(image, **options) for image in PICTURES]
            unordered = options.get("subtask") == "instance" and name in PAIRS
            for answer, image in zip(alone, PICTURES, strict=True):
                (assert_same_set if unordered else same)(answer, expected(image, **options))
            for answer, together in zip(alone, ours(PICTURES, **options), strict=True):
                assert_same_alone(together, answer)


@pytest.mark.nightly
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_trained_segmenter(
    precision: str, trained: Callable[[str], Path], store: Store, reference: Callable[..., Any]
) -> None:
    checkpoint = trained("tiny-shapes-segmenter")
    with (checkpoint / "examples.jsonl").open(encoding="utf-8") as lines:
        examples = table_of("examples.jsonl", [json.loads(line) for line in lines][:60])
    artifact = store.artifact(checkpoint, precision=("fp32", "int8") if precision == "int8" else ("fp32",))
    rows = evaluation_of(examples, artifact.manifest)
    with pipeline(model=artifact, precision=precision) as ours:
        answers = ours(list(rows.items), **rows.options)
        for answer, picture in zip(answers[:8], rows.items, strict=False):
            assert_same_alone(answer, ours(picture))
            if precision == "fp32":
                assert_same_map(answer, reference(checkpoint, SEGMENTS)(picture))
    assert score(rows, answers)["mean IoU"] >= 0.8


def subtasks(pipe: Any) -> tuple[str, ...]:
    settings = pipe.manifest.postprocessing.segmentation
    return () if settings is None else settings.subtasks


def same(obtained: Any, expected: Any) -> None:
    if isinstance(expected, Image.Image):
        assert_same_alone(obtained, expected)
        assert obtained.mode == expected.mode == "RGB" and obtained.size == expected.size
    else:
        assert_same_map(obtained, expected)


class Larger:
    """Version 4's pipeline of image-to-image, which version 5 has dropped: its own code around its own model
    (`transformers.pipelines.image_to_image`, 4.57)."""

    def __init__(self, checkpoint: Path) -> None:
        from transformers import AutoImageProcessor, AutoModelForImageToImage

        self.processor = AutoImageProcessor.from_pretrained(checkpoint, backend="pil")
        self.model = AutoModelForImageToImage.from_pretrained(checkpoint).eval()

    def __call__(self, image: Image.Image) -> Image.Image:
        import torch

        with torch.no_grad():
            made = self.model(**self.processor(images=[image], return_tensors="pt")).reconstruction[0]
        values = np.moveaxis(made.squeeze().float().clamp_(0, 1).numpy(), 0, -1)
        return Image.fromarray((values * 255.0).round().astype(np.uint8))
