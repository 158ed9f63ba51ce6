"""Segments and depths of raw answers, against the methods of transformers' image processors, on random numbers."""

from __future__ import annotations

import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxpress.format.segmentation import SegmentationSettings, Subtask
from onnxpress.pipelines.segments import SegmentedPicture, Thresholds, segmentation_of

ALL = ("panoptic", "instance", "semantic")
DETR = ("Detr", ("logits", "pred_masks"), SegmentationSettings("queries", ALL))
NAMES = ("class_queries_logits", "masks_queries_logits")
MASKFORMER = ("MaskFormer", NAMES, SegmentationSettings("queries", ALL, "pairs"))
MASK2FORMER = ("Mask2Former", NAMES, SegmentationSettings("queries", ALL, "pairs", (384, 384)))
SIZES = st.tuples(st.integers(1, 90), st.integers(1, 90))
SHARES = st.floats(0, 1)


def expected_of(
    processor: str, subtask: Subtask, outputs: dict[str, Any], size: tuple[int, int], **options: Any
) -> Any:
    import torch
    import transformers

    tensors = SimpleNamespace(**{name: torch.from_numpy(value)[None] for name, value in outputs.items()})
    made_by = getattr(transformers, f"{processor}ImageProcessorPil")()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(made_by, f"post_process_{subtask}_segmentation")(tensors, target_sizes=[size], **options)[0]


def random_outputs(queries: int, classes: int, grid: tuple[int, int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Masks that are smooth, as a model's are, and scores that are sure here and there."""
    from onnxpress.image.interpolation import interpolate

    generator = np.random.default_rng(seed)
    scores = generator.standard_normal((queries, classes + 1)).astype(np.float32) * 3
    masks = interpolate(generator.standard_normal((queries, 4, 3)) * 4, grid, "bicubic")
    return scores, masks


def alike(obtained: SegmentedPicture, expected: Any, *, ordered: bool) -> None:
    """The same segments with the same places; a place where two are as likely may be either's."""
    ours = [(s.label, s.score or 0.0, obtained.places == s.number) for s in obtained.segments]
    places = expected["segmentation"].numpy()
    theirs = [(s["label_id"], s["score"], places == s["id"]) for s in expected["segments_info"]]
    assert len(ours) == len(theirs)
    if not ordered:
        ours, theirs = (sorted(side, key=lambda row: (row[0], round(row[1], 4))) for side in (ours, theirs))
    for (label, score, mask), (other_label, other_score, other_mask) in zip(ours, theirs, strict=True):
        assert label == other_label and abs(score - other_score) <= 2e-5
        if ordered:
            assert (mask != other_mask).sum() <= 2


@pytest.mark.parametrize("family", [DETR, MASKFORMER, MASK2FORMER], ids=lambda family: family[0])
@given(
    st.integers(1, 12), st.integers(1, 6), st.tuples(st.integers(1, 24), st.integers(1, 24)), SIZES, SHARES, SHARES,
    SHARES, st.integers(0, 99),
)  # fmt: skip
def test_panoptic(
    family: Any, queries: int, classes: int, grid: tuple[int, int], size: tuple[int, int], threshold: float,
    mask: float, overlap: float, seed: int,
) -> None:  # fmt: skip
    processor, names, settings = family
    outputs = random_outputs(queries, classes, grid, seed)
    options = {"threshold": threshold, "mask_threshold": mask, "overlap_mask_area_threshold": overlap}
    expected = expected_of(processor, "panoptic", dict(zip(names, outputs, strict=True)), size, **options)
    obtained = segmentation_of(settings, "panoptic", outputs, size, Thresholds(threshold, mask, overlap))
    alike(obtained, expected, ordered=True)
    if processor == "Detr":
        expected = expected_of(processor, "instance", dict(zip(names, outputs, strict=True)), size, **options)
        alike(segmentation_of(settings, "instance", outputs, size, Thresholds(threshold, mask, overlap)), expected,
              ordered=True)  # fmt: skip


@pytest.mark.parametrize("family", [MASKFORMER, MASK2FORMER], ids=lambda family: family[0])
@pytest.mark.parametrize("classes", [5, 64])
@given(st.integers(1, 12), st.tuples(st.integers(1, 24), st.integers(1, 24)), SIZES, SHARES, st.integers(0, 99))
def test_pairs(
    family: Any, classes: int, queries: int, grid: tuple[int, int], size: tuple[int, int], threshold: float, seed: int
) -> None:
    """PyTorch's order is the scores' where there are 64 classes; elsewhere it is not defined, and which segment has a
    place of two neither."""
    processor, names, settings = family
    outputs = random_outputs(queries, classes, grid, seed)
    expected = expected_of(processor, "instance", dict(zip(names, outputs, strict=True)), size, threshold=threshold)
    obtained = segmentation_of(settings, "instance", outputs, size, Thresholds(threshold))
    alike(obtained, expected, ordered=classes == 64)


@pytest.mark.parametrize("family", [DETR, MASKFORMER, MASK2FORMER], ids=lambda family: family[0])
@given(st.integers(1, 12), st.integers(1, 6), st.tuples(st.integers(1, 24), st.integers(1, 24)), SIZES)
def test_semantic(family: Any, queries: int, classes: int, grid: tuple[int, int], size: tuple[int, int]) -> None:
    processor, names, settings = family
    outputs = random_outputs(queries, classes, grid, queries)
    expected = expected_of(processor, "semantic", dict(zip(names, outputs, strict=True)), size).numpy()
    obtained = segmentation_of(settings, "semantic", outputs, size, Thresholds())
    assert (obtained.places != expected).sum() <= 2
    assert {segment.number for segment in obtained.segments} == set(np.unique(obtained.places).tolist())


@pytest.mark.parametrize("processor", ["Segformer", "Beit", "DPT", "MobileViT", "MobileNetV2"])
@given(st.integers(1, 6), st.tuples(st.integers(1, 24), st.integers(1, 24)), SIZES)
def test_classes(processor: str, classes: int, grid: tuple[int, int], size: tuple[int, int]) -> None:
    scores = np.random.default_rng(classes).standard_normal((classes, *grid)).astype(np.float32)
    expected = expected_of(processor, "semantic", {"logits": scores}, size).numpy()
    obtained = segmentation_of(
        SegmentationSettings("classes", ("semantic",)), "semantic", (scores,), size, Thresholds()
    )
    assert (obtained.places != expected).sum() <= 2


@pytest.mark.parametrize("processor", ["DPT", "GLPN"])
@given(st.tuples(st.integers(1, 40), st.integers(1, 40)), st.tuples(st.integers(2, 90), st.integers(2, 90)))
def test_depths(processor: str, grid: tuple[int, int], size: tuple[int, int]) -> None:
    import torch
    import transformers

    from onnxpress.image.interpolation import interpolate

    depth = np.random.default_rng(grid[0]).uniform(0, 1, grid).astype(np.float32)
    outputs = SimpleNamespace(predicted_depth=torch.from_numpy(depth)[None])
    expected = getattr(transformers, f"{processor}ImageProcessorPil")().post_process_depth_estimation(outputs, [size])
    assert np.allclose(interpolate(depth, size, "bicubic"), expected[0]["predicted_depth"].numpy(), atol=1e-5)
