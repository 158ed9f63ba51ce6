"""mask-generation as transformers' pipeline answers. torchvision, which alone has its suppression of doubles, is not
there: that one function is written here after its documentation."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import SamImageProcessorPil
from transformers.models.sam import image_processing_pil_sam as theirs

from onnxpress.pipelines.masks import Crops, Keeping, crops_of, kept, points_in, without_doubles
from tests.fixtures.tiny_sam import tiny_sam

#: Calls that keep some masks of random weights.
CALLS: list[dict[str, Any]] = [
    {"points_per_crop": 4, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0, "crops_nms_thresh": 1.0},
    {"points_per_crop": 3, "crops_n_layers": 1, "points_per_batch": 4, "pred_iou_thresh": 0.2,
     "stability_score_thresh": 0.0, "crops_nms_thresh": 0.95},
    {"points_per_crop": 6, "mask_threshold": 0.02, "crops_nms_thresh": 0.99, "pred_iou_thresh": -1.0,
     "stability_score_thresh": 0.3, "stability_score_offset": 0.01, "points_per_batch": None},
]  # fmt: skip


def nms(boxes: torch.Tensor, scores: torch.Tensor, idxs: torch.Tensor, iou_threshold: float) -> torch.Tensor:
    areas, dead, chosen = (boxes[:, 2:] - boxes[:, :2]).prod(1), torch.zeros(len(boxes), dtype=torch.bool), []
    for place in torch.sort(scores, descending=True, stable=True).indices.tolist():
        if not dead[place]:
            chosen.append(place)
            low, high = torch.maximum(boxes[place, :2], boxes[:, :2]), torch.minimum(boxes[place, 2:], boxes[:, 2:])
            shared = (high - low).clamp(min=0).prod(1)
            dead |= shared / (areas[place] + areas - shared) > iou_threshold
    return torch.tensor(chosen, dtype=torch.long)


@pytest.fixture
def suppressing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    boxes = ModuleType("torchvision.ops.boxes")
    boxes.batched_nms = nms  # type: ignore[attr-defined]
    for name in ("torchvision", "torchvision.ops"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "torchvision.ops.boxes", boxes)
    monkeypatch.setattr(
        SamImageProcessorPil,
        "post_process_for_mask_generation",
        lambda self, *arguments: theirs._post_process_for_mask_generation(*arguments),
    )
    monkeypatch.setattr("transformers.pipelines.mask_generation.requires_backends", lambda *_: None)
    yield


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    cells = np.random.default_rng(seed).integers(0, 256, (-(-height // 10), -(-width // 10), 3), dtype=np.uint8)
    return Image.fromarray(np.kron(cells, np.ones((10, 10, 1), np.uint8))[:height, :width])


def blobs(count: int, seed: int) -> NDArray[np.float32]:
    """float32 (1, count, 3, 16, 16): levels of masks that have shapes."""
    coarse = np.random.default_rng(seed).standard_normal((count, 3, 4, 4)).astype(np.float32) * 4
    return np.kron(coarse, np.ones((4, 4), np.float32))[None]


@pytest.mark.parametrize("size", [(64, 64), (90, 50), (37, 120), (200, 160)], ids=str)
@pytest.mark.parametrize("layers", [0, 1, 2])
def test_crops_points_and_masks_are_those_of_the_image_processor(
    suppressing: None, size: tuple[int, int], layers: int
) -> None:
    """Without a model: what is done before and after it."""
    processor = SamImageProcessorPil(size={"longest_edge": 64}, pad_size={"height": 64, "width": 64})
    picture = noise(*size)
    boxes, points, images, _ = processor.generate_crop_boxes(picture, 64, layers, 512 / 1500, 3, 1)
    whole = (picture.height, picture.width)
    ours = list(crops_of(whole, Crops(layers, 512 / 1500, 3, 1)))
    assert [list(box) for box, _ in ours] == boxes.int().tolist()
    expected: tuple[list[Any], list[Any], list[Any]] = ([], [], [])
    parts = []
    for number, (box, grid) in enumerate(ours):
        inner = (box[3] - box[1], box[2] - box[0])
        assert np.array_equal(points_in(grid, inner, 64), points[0, :, number].numpy())
        fed = processor._get_preprocess_shape(images[number].shape[-2:], 64)
        levels, scores = blobs(9, number), np.random.default_rng(number).random((1, 9, 3), dtype=np.float32)
        masks = processor.post_process_masks(torch.from_numpy(levels), [inner], [fed], binarize=False)
        answer = processor.filter_masks(masks[0], torch.from_numpy(scores)[0], whole, boxes[number], 0.2, 0.4, 0.1, 0.7)
        for column, value in zip(expected, answer, strict=True):
            column.append(value)
        keeping = Keeping(0.2, 0.4, 0.1, 0.7)
        parts.append(kept(levels.reshape(-1, 16, 16), scores.reshape(-1), box, ((64, 64), fed, whole), keeping))
    runs = [row for rows in expected[0] for row in rows]
    _, scores_left, runs_left, boxes_left = processor.post_process_for_mask_generation(
        runs, torch.cat(expected[1]), torch.cat(expected[2]), 0.7
    )
    best = without_doubles(parts, 0.7)
    assert best.runs == runs_left and len(best.runs) > 1
    assert np.array_equal(best.scores, scores_left.numpy())
    assert np.array_equal(best.boxes, boxes_left.numpy())


@pytest.mark.nightly
def test_sam_answers_as_transformers_does(
    suppressing: None, ours: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    import transformers

    checkpoint: Path = tiny_sam(tmp_path_factory.mktemp("sam") / "checkpoint")
    reference = transformers.pipeline(
        "mask-generation",
        model=str(checkpoint),
        image_processor=SamImageProcessorPil.from_pretrained(checkpoint),
    )
    pipe, total = ours(checkpoint, "mask-generation"), 0
    more = {"output_rle_mask": True, "output_bboxes_mask": True}
    for size in [(64, 64), (90, 50), (37, 120), (200, 160)]:
        for call in CALLS:
            expected = reference(noise(*size), **call, **more)
            obtained = pipe(noise(*size), **call, **more)
            assert obtained.keys() == expected.keys()
            assert len(obtained["masks"]) == len(expected["masks"])
            assert obtained["scores"] == pytest.approx(expected["scores"].numpy(), abs=1e-4)
            assert np.array_equal(obtained["bounding_boxes"], expected["bounding_boxes"].numpy())
            for mine, other in zip(obtained["masks"], expected["masks"], strict=True):
                assert mine.dtype == other.dtype and np.mean(mine != other) < 1e-3
            total += len(obtained["masks"])
    assert total > 50
