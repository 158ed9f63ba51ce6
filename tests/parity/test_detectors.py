"""object-detection against transformers' pipelines: boxes, their order and every option, alone and in batches."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from onnxpress import InputError, pipeline
from onnxpress.pipelines.boxes import candidates, surer_than, whole_pixels
from onnxpress_exporter import export
from onnxpress_exporter.errors import ExportError, UnsupportedCheckpoint
from onnxpress_exporter.judging.data import table_of
from onnxpress_exporter.judging.metrics import score
from onnxpress_exporter.tasks.evaluation import evaluation_of
from onnxpress_exporter.tasks.object_detection import detection_of
from tests.fixtures.store import Store
from tests.fixtures.tiny_detectors import DETECTORS, tiny_detector
from tests.parity.alike import assert_alike

TASK = "object-detection"
PROCESSORS = ("Detr", "Yolos", "ConditionalDetr", "DeformableDetr", "RTDetr")


def picture(height: int, width: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


PICTURES = [picture(60, 80), picture(200, 133), picture(64, 64), picture(37, 85), Image.new("RGB", (90, 70), "teal")]


def assert_found_alike(obtained: Any, expected: Any) -> None:
    """The same objects in the same order. Edges are cut to whole pixels: where rounding decides, they may differ by one
    pixel, which it does for few."""
    edges = [
        (ours["box"][edge], theirs["box"][edge])
        for objects in zip(obtained, expected, strict=True)
        for ours, theirs in zip(*objects, strict=True)
        for edge in theirs["box"]
    ]
    different = [pair for pair in edges if pair[0] != pair[1]]
    assert all(abs(ours - theirs) == 1 for ours, theirs in different) and len(different) <= 1 + len(edges) // 50
    without_boxes, others = (
        [[{**entry, "box": dict.fromkeys(entry["box"], 0)} for entry in objects] for objects in side]
        for side in (obtained, expected)
    )
    assert_alike(without_boxes, others)


@pytest.fixture(scope="module")
def pair(
    tmp_path_factory: pytest.TempPathFactory, store: Store, reference: Callable[..., Any]
) -> Callable[[str], tuple[Any, Any]]:
    """`pair(architecture)` -> our pipeline and transformers'."""

    def open_both(name: str) -> tuple[Any, Any]:
        checkpoint = tiny_detector(name, tmp_path_factory.mktemp("detector") / name)
        return pipeline(model=store.artifact(checkpoint)), reference(checkpoint, TASK)

    return open_both


@pytest.fixture(scope="module")
def detectors(pair: Callable[[str], tuple[Any, Any]]) -> tuple[Any, Any]:
    return pair("yolos")


@pytest.mark.parametrize("options", [{}, {"threshold": 0.0}, {"threshold": 0.9}, {"timeout": 3.0}], ids=str)
def test_options(detectors: tuple[Any, Any], options: dict[str, Any]) -> None:
    ours, theirs = detectors
    assert_alike(ours(PICTURES[0], **options), theirs(PICTURES[0], **options))
    assert_alike(ours(PICTURES, **options), [theirs(image, **options) for image in PICTURES])
    assert_alike(ours(images=PICTURES[:2], **options), ours(PICTURES[:2], **options))


@settings(max_examples=8)
@given(st.lists(st.tuples(st.integers(40, 160), st.integers(40, 160)), min_size=1, max_size=5))
def test_an_answer_does_not_depend_on_its_neighbours(detectors: tuple[Any, Any], shapes: list[tuple[int, int]]) -> None:
    ours, theirs = detectors
    images = [picture(*shape, seed) for seed, shape in enumerate(shapes)]
    alone = [ours(image, threshold=0.1) for image in images]
    assert_found_alike(ours(images, threshold=0.1), alone)
    assert_found_alike(alone, [theirs(image, threshold=0.1) for image in images])


@pytest.mark.nightly
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_trained_detector(
    precision: str, trained: Callable[[str], Path], store: Store, reference: Callable[..., Any]
) -> None:
    checkpoint = trained("tiny-shapes-detector")
    with (checkpoint / "examples.jsonl").open(encoding="utf-8") as lines:
        examples = table_of("examples.jsonl", [json.loads(line) for line in lines])
    artifact = store.artifact(checkpoint, precision=("fp32", "int8") if precision == "int8" else ("fp32",))
    rows = evaluation_of(examples, artifact.manifest)
    pictures = list(rows.items)
    with pipeline(model=artifact, precision=precision) as ours:
        answers = ours(pictures, **rows.options)
        assert_found_alike([ours(image, **rows.options) for image in pictures[:8]], answers[:8])
        if precision == "fp32":
            theirs = reference(checkpoint, TASK)
            sure = [ours(image) for image in pictures]
            assert sum(map(len, sure)) >= len(pictures)
            assert_found_alike(sure, [theirs(image) for image in pictures])
    assert score(rows, answers)["mAP@.5"] >= 0.9


def test_wrong_calls_say_what_to_pass(detectors: tuple[Any, Any]) -> None:
    ours, _ = detectors
    for threshold in ("0.5", None, True, float("nan")):
        with pytest.raises(InputError, match=r"threshold is .*; it must be a number"):
            ours(PICTURES[0], threshold=threshold)
    with pytest.raises(InputError, match="A picture of 400x1 pixels would become 96x0"):
        ours(picture(1, 400))


@pytest.mark.parametrize("name", PROCESSORS)
@settings(max_examples=25)
@given(
    st.integers(0, 999),
    st.integers(1, 130),
    st.integers(2, 7),
    st.floats(0, 1),
    st.tuples(st.integers(1, 999), st.integers(1, 999)),
)
def test_boxes_are_made_as_the_processor_makes_them(
    name: str, seed: int, queries: int, labels: int, threshold: float, size: tuple[int, int]
) -> None:
    processor = getattr(transformers, f"{name}ImageProcessorPil")()
    found = detection_of(processor)
    generator = np.random.default_rng(seed)
    # Of equal scores, and of those that rounding makes so, PyTorch does not say which comes first.
    logits = generator.permutation(np.linspace(-6, 6, queries * labels, dtype=np.float32)).reshape(queries, labels)
    boxes = generator.uniform(0, 1, (queries, 4)).astype(np.float32)
    rows = SimpleNamespace(logits=torch.from_numpy(logits)[None], pred_boxes=torch.from_numpy(boxes)[None])
    (expected,) = processor.post_process_object_detection(rows, threshold, torch.IntTensor([size]))
    obtained = surer_than(threshold, candidates(logits, boxes, found))
    assert obtained.labels.tolist() == expected["labels"].tolist()
    assert np.allclose(obtained.scores, expected["scores"].numpy(), atol=1e-6)
    pixels = [list(box.values()) for box in whole_pixels(obtained.edges, *size)]
    assert pixels == expected["boxes"].int().tolist()


def test_what_makes_no_boxes_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedCheckpoint, match="ViTImageProcessor does not make boxes"):
        detection_of(transformers.ViTImageProcessorPil())


def test_a_classifier_of_words_on_a_page_is_refused_by_name(tmp_path: Path) -> None:
    """transformers' pipeline takes such a model, with words that it reads by itself."""
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.LayoutLMConfig(vocab_size=20, **sizes)
    transformers.LayoutLMForTokenClassification(config).save_pretrained(tmp_path / "layoutlm")
    with pytest.raises(
        UnsupportedCheckpoint, match=r"LayoutLMForTokenClassification.* has no head for object-detection"
    ):
        export(tmp_path / "layoutlm", tmp_path / "out", task=TASK)


#: What is refused, and by which words: torch.onnx loses a number that bounds a proposal.
REFUSED = {"deformable-detr-two-stage": "which nothing in it makes"}


@pytest.mark.nightly
@pytest.mark.parametrize("name", DETECTORS)
def test_every_architecture(name: str, pair: Callable[[str], tuple[Any, Any]]) -> None:
    if name in REFUSED:
        with pytest.raises(ExportError, match=REFUSED[name]):
            pair(name)
        return
    ours, theirs = pair(name)
    for threshold in (0.5, 0.0):
        alone = [ours(image, threshold=threshold) for image in PICTURES]
        assert_found_alike(alone, [theirs(image, threshold=threshold) for image in PICTURES])
        assert_found_alike(ours(PICTURES, threshold=threshold), alone)
