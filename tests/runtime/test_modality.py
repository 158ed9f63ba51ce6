"""A modality is a processor and a collator: a classifier of pictures over a real graph, with nothing else added.

Its graph is a convolution with known weights: the scores are the sums of the red and of the green channel.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

import onnxpress
from onnxpress.errors import InputError, UnsupportedFormat
from onnxpress.format.manifest import GraphFiles, GraphInfo, TensorInfo, Variant
from onnxpress.format.processors import Processors
from onnxpress.math import top_k
from onnxpress.pipelines import table
from onnxpress.pipelines.base import Pipeline
from onnxpress.pipelines.batching import Prepared
from onnxpress.pipelines.collators import Stack
from onnxpress.pipelines.labels import class_labels
from onnxpress.pipelines.loaded import LoadedModel
from onnxpress.pipelines.payload import Payload
from onnxpress.pipelines.task import Task
from onnxpress.samples import Sample
from tests.fixtures.artifacts import seal
from tests.fixtures.manifests import manifest

TASK = "picture-classification"
FIXED, FREE = (4, 4), ("height", "width")


# What an issue that adds pictures would write: a processor, and the class of a task.


class PictureProcessor:
    """Arrays uint8 (height, width, 3), or what has `__array_interface__`, to float32 (3, height, width)."""

    collator = Stack()

    def __init__(self, model: LoadedModel) -> None:
        self.task = model.task.name

    def sample(self, raw: Any, context: Any = None) -> Sample:
        """A picture; it costs as many tokens as it has pixels.

        Raises:
            InputError: not a picture.
        """
        pixels = np.frombuffer(raw, np.uint8).reshape(2, -1, 3) if isinstance(raw, bytes) else np.asarray(raw)
        if pixels.dtype != np.uint8 or pixels.ndim != 3:
            raise InputError(f"{self.task} takes pictures, got {type(raw).__name__}.")
        return Sample({"pixels": pixels.transpose(2, 0, 1).astype(np.float32)}, pixels.size // 3, context)


@dataclass(frozen=True, slots=True)
class Options:
    """`top_k`: so many labels."""

    top_k: int = 1


class PictureClassification(Pipeline[Options, PictureProcessor]):
    """`pipe(picture)` -> a list of labels."""

    options_type = Options
    processor_type = PictureProcessor

    def prepare(self, item: Any, options: Options) -> Prepared[None]:
        return Prepared((self.processor.sample(item),), None)

    def finish(self, context: None, values: list[Any], options: Options) -> list[dict[str, Any]]:
        scores, labels = values[0]["logits"], class_labels(self)
        return [{"label": labels[i], "score": float(scores[i])} for i in top_k(scores, options.top_k)]


# An artifact for it.


class Picture:
    """As Pillow's, which cannot be iterated and gives its array when it is asked for."""

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self._pixels = pixels

    @property
    def __array_interface__(self) -> Mapping[str, Any]:
        return self._pixels.__array_interface__


def picture(red: int, green: int, height: int = 4, width: int = 4) -> NDArray[np.uint8]:
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0], pixels[..., 1] = red, green
    return pixels


def _write(folder: Path) -> Path:
    graph = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["" : 20]>
        pictures (float[batch, 3, height, width] pixels) => (float[batch, 2] logits)
        <float[2, 3, 1, 1] kernel = {1, 0, 0, 0, 1, 0}, int64[2] axes = {2, 3}> {
            channels = Conv (pixels, kernel)
            logits = ReduceSum <keepdims = 0> (channels, axes)
        }"""
    )
    (folder / "onnx").mkdir(parents=True)
    onnx.save(graph, folder / "onnx" / "model.onnx")
    base = manifest()
    seal(
        folder,
        replace(
            base,
            task=TASK,
            graphs={
                "model": GraphInfo(
                    inputs=(TensorInfo("pixels", "float32", ("batch", 3, *FREE)),),
                    outputs=(TensorInfo("logits", "float32", ("batch", 2)),),
                    role="encoder",
                )
            },
            variants={"fp32": Variant({"model": GraphFiles("onnx/model.onnx", (), {"": 20})}, 10)},
            processors=Processors(),
            postprocessing=replace(base.postprocessing, labels=("red", "green")),
        ),
    )
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _write(tmp_path_factory.mktemp("pictures") / "artifact")


@pytest.fixture
def pipe(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Opened by `pipeline()`: all it takes is a row."""
    row = Task(TASK, f"{__name__}:PictureClassification", payload=Payload(alone=False))
    monkeypatch.setattr(table, "TASKS", {**table.TASKS, TASK: row})
    with onnxpress.pipeline(model=folder) as opened:
        yield opened


def _labels(results: Any) -> list[str]:
    return [result[0]["label"] for result in results]


def test_an_array_a_picture_and_bytes_are_one_input_each(pipe: Any) -> None:
    red = picture(7, 3)
    expected = [{"label": "red", "score": 7.0 * 16}]
    assert pipe(red) == expected
    assert pipe(Picture(red)) == expected
    assert pipe(red.tobytes()) == expected
    assert pipe(red, top_k=2) == [*expected, {"label": "green", "score": 3.0 * 16}]


def test_lists_generators_and_datasets_are_many(pipe: Any) -> None:
    pictures = [picture(1, 2), picture(5, 4), picture(0, 9)]
    expected = ["green", "red", "green"]
    assert _labels(pipe(pictures)) == expected
    assert _labels(pipe(tuple(pictures))) == expected
    assert _labels(pipe(Picture(array) for array in pictures)) == expected


def test_only_pictures_of_one_size_share_a_batch(pipe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: list[tuple[int, ...]] = []
    run = pipe.session.run

    def watched(inputs: Mapping[str, NDArray[Any]], graph: str) -> Any:
        shapes.append(inputs["pixels"].shape)
        return run(inputs, graph=graph)

    monkeypatch.setattr(pipe.session, "run", watched)
    pictures = [picture(n, 9 - n, *size) for n in range(8) for size in ((4, 4), (2, 8), (3, 5))]
    alone = [pipe(array) for array in pictures]
    shapes.clear()
    assert pipe(pictures) == alone
    assert sorted(shapes) == [(8, 3, 2, 8), (8, 3, 3, 5), (8, 3, 4, 4)]
    shapes.clear()
    assert pipe(pictures, budget_tokens=32) == alone
    assert max(shape[0] for shape in shapes) == 2
    shapes.clear()
    assert list(pipe(iter(pictures), batch_size=1)) == alone
    assert len(shapes) == len(pictures)


def test_what_is_no_picture_is_refused(pipe: Any) -> None:
    for wrong in ("a text", np.zeros(3), {"picture": 1}, None):
        with pytest.raises(InputError, match=f"{TASK} takes pictures"):
            pipe(wrong)


def test_a_graph_is_found_by_its_role(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it is called; and a role that no graph has is named."""
    from onnxpress.engine.choice import Choice
    from onnxpress.engine.session import Session

    artifact = onnxpress.Artifact.open(folder)
    named = replace(artifact.manifest, graphs={"vision_model": artifact.manifest.graphs["model"]})
    session = Session({"vision_model": folder / "onnx" / "model.onnx"})
    row = Task(TASK, f"{__name__}:PictureClassification")
    model = LoadedModel(row, replace(artifact, manifest=named), session, Choice("fp32", "it was asked for"))
    assert _labels(PictureClassification(model, {})([picture(2, 1)])) == ["red"]

    class Reader(PictureClassification):
        role = "decoder"

    with pytest.raises(UnsupportedFormat, match=r"role 'decoder'; it has: vision_model \(encoder\)"):
        Reader(model, {})


def test_a_task_of_text_says_that_the_artifact_has_no_tokenizer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = replace(table.TASKS["text-classification"], name=TASK)
    monkeypatch.setattr(table, "TASKS", {TASK: row})
    with pytest.raises(onnxpress.ArtifactError, match="no tokenizer, so picture-classification cannot run"):
        onnxpress.pipeline(model=folder)
