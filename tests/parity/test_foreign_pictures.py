"""Folders of pictures that other tools exported run as they are, and answer as transformers' pipelines do."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

import onnxpress
from onnxpress.errors import AdoptionWarning, InputError, UnknownTask, UnsupportedFormat
from onnxpress_exporter import adopt
from onnxpress_exporter.errors import VerificationFailed
from tests.fixtures.foreign_pictures import Export, write_foreign_pictures
from tests.fixtures.tiny_detectors import tiny_detector
from tests.fixtures.tiny_maps import tiny_map_checkpoint
from tests.fixtures.tiny_pictures import SIDE, tiny_picture_checkpoint
from tests.fixtures.tiny_towers import tiny_tower_checkpoint
from tests.parity.alike import assert_alike
from tests.parity.test_detectors import assert_found_alike
from tests.parity.test_maps import assert_same_map

LABELS = ["a cat", "dogs", "two red houses"]
PIXELS = torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


def picture(height: int, width: int, seed: int = 0) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


PICTURES = [picture(60, 80), picture(120, 90, 1), picture(64, 64, 2), picture(33, 200, 3)]

#: In the tests of every day; the rest run nightly.
DAILY = ("vit", "clip")

Make = Callable[[Path], Path]
Folder = Callable[[Path, Path], Path]


def of(file: str, outputs: list[str], auto_class: str, axes: tuple[int, ...] = (0,)) -> Folder:
    export = Export(file, {"pixel_values": axes}, outputs)
    return lambda checkpoint, folder: write_foreign_pictures(
        checkpoint, folder, export, {"pixel_values": PIXELS}, auto_class
    )


def towers(checkpoint: Path, folder: Path) -> Path:
    """One graph of texts and pictures."""
    text = {"input_ids": torch.tensor([[0, 5, 6, 2], [0, 7, 8, 2]]), "attention_mask": torch.ones(2, 4).long()}
    shapes = dict.fromkeys(text, (0, 1)) | {"pixel_values": (0,)}
    side = json.loads((checkpoint / "config.json").read_text())["vision_config"]["image_size"]
    examples = {**text, "pixel_values": torch.rand(2, 3, side, side)}
    outputs = ["logits_per_image", "logits_per_text", "text_embeds", "image_embeds"]
    return write_foreign_pictures(checkpoint, folder, Export("onnx/model.onnx", shapes, outputs), examples, "AutoModel")


#: Name -> the checkpoint, its folder, the task, options of a call.
CASES: Mapping[str, tuple[Make, Folder, str, dict[str, Any]]] = {
    "vit": (
        lambda folder: tiny_picture_checkpoint("vit", folder, "ForImageClassification"),
        of("model.onnx", ["logits"], "AutoModelForImageClassification"),
        "image-classification",
        {},
    ),
    "dinov2": (
        lambda folder: tiny_picture_checkpoint("dinov2", folder, "Model"),
        of("onnx/model.onnx", ["last_hidden_state", "pooler_output"], "AutoModel"),
        "image-feature-extraction",
        {},
    ),
    "yolos": (
        lambda folder: tiny_detector("yolos", folder),
        of("onnx/model.onnx", ["logits", "pred_boxes"], "AutoModelForObjectDetection", (0, 2, 3)),
        "object-detection",
        {"threshold": 0.1},
    ),
    "segformer": (
        lambda folder: tiny_map_checkpoint("segformer", folder),
        of("model.onnx", ["logits"], "AutoModelForSemanticSegmentation"),
        "image-segmentation",
        {},
    ),
    "dpt": (
        lambda folder: tiny_map_checkpoint("dpt", folder),
        of("onnx/model.onnx", ["predicted_depth"], "AutoModelForDepthEstimation"),
        "depth-estimation",
        {},
    ),
    "clip": (
        lambda folder: tiny_tower_checkpoint("clip", folder),
        towers,
        "zero-shot-image-classification",
        {"candidate_labels": LABELS},
    ),
}


def assert_same(task: str, obtained: Any, expected: Any) -> None:
    if task == "object-detection":
        assert_found_alike(obtained, expected)
    elif task in ("image-segmentation", "depth-estimation"):
        for ours, theirs in zip(obtained, expected, strict=True):
            assert_same_map(ours, theirs)
    else:
        assert_alike(obtained, expected)


@pytest.mark.parametrize(
    "name", [name if name in DAILY else pytest.param(name, marks=pytest.mark.nightly) for name in CASES]
)
def test_a_folder_of_another_tool_answers_as_transformers(
    name: str, tmp_path: Path, reference: Callable[..., Any]
) -> None:
    make, lay_out, task, options = CASES[name]
    checkpoint = make(tmp_path / "checkpoint")
    folder = lay_out(checkpoint, tmp_path / "folder")
    theirs = reference(checkpoint, task)
    expected = [theirs(image, **options) for image in PICTURES]
    with onnxpress.pipeline(model=folder) as pipe:
        assert pipe.task == task and pipe.artifact.trust == "unverified"
        assert "pictures" in {fact.what for fact in pipe.adopted.facts}
        assert_same(task, pipe(PICTURES, **options), expected)
        assert_same(task, [pipe(image, **options) for image in PICTURES], expected)
    adopted = adopt(folder, tmp_path / "adopted")
    assert (adopted.manifest.task, adopted.trust) == (task, "hashed")
    assert not any(adapter.ones for adapter in adopted.adapters.values())
    with onnxpress.pipeline(model=adopted.folder) as pipe:
        assert_same(task, pipe(PICTURES, **options), expected)


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["vit", "dinov2", "clip"])
def test_a_folder_is_compared_with_its_checkpoint(name: str, tmp_path: Path) -> None:
    make, lay_out, task, _ = CASES[name]
    checkpoint = make(tmp_path / "checkpoint")
    folder = lay_out(checkpoint, tmp_path / "folder")
    adopted = adopt(folder, tmp_path / "adopted", checkpoint=checkpoint)
    assert adopted.manifest.task == task
    quality = adopted.manifest.variants["fp32"].quality
    assert quality is not None and "PyTorch" in quality.reference
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "resample": 0}))
    with pytest.raises(VerificationFailed, match="image processor makes other numbers of a picture"):
        adopt(folder, tmp_path / "another", checkpoint=checkpoint)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A checkpoint, and its graph for batches of two."""
    folder = tmp_path_factory.mktemp("classifier")
    checkpoint = tiny_picture_checkpoint("vit", folder / "checkpoint", "ForImageClassification")
    return checkpoint, of("plain.onnx", ["logits"], "AutoModelForImageClassification", ())(checkpoint, folder / "onnx")


def edited(classifier: tuple[Path, Path], folder: Path, edit: Callable[[onnx.ModelProto], None]) -> Path:
    folder.mkdir()
    for path in classifier[1].iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    model = onnx.load(folder / "plain.onnx")
    edit(model)
    onnx.save(model, folder / "plain.onnx")
    return folder


def rename(model: onnx.ModelProto) -> None:
    """The graph's input and output have names that say nothing."""
    for values, key, name in ((model.graph.input, "pixel_values", "x"), (model.graph.output, "logits", "y")):
        values[0].name = name
        for node in model.graph.node:
            for names in (node.input, node.output):
                names[:] = [name if used == key else used for used in names]


def take_half(model: onnx.ModelProto) -> None:
    """The graph takes numbers of 16 bits."""
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    for node in model.graph.node:
        node.input[:] = ["wide" if used == "pixel_values" else used for used in node.input]
    model.graph.node.insert(0, onnx.helper.make_node("Cast", ["pixel_values"], ["wide"], to=onnx.TensorProto.FLOAT))


@pytest.mark.parametrize("edit", [lambda model: None, rename, take_half], ids=["two rows", "no names", "16 bits"])
def test_a_plain_graph_of_one_size_answers_alike(
    edit: Callable[[onnx.ModelProto], None],
    classifier: tuple[Path, Path],
    tmp_path: Path,
    reference: Callable[..., Any],
) -> None:
    folder = edited(classifier, tmp_path / "folder", edit)
    expected = reference(classifier[0], "image-classification")(PICTURES[:3])
    with onnxpress.pipeline(model=folder / "plain.onnx") as pipe:
        for obtained in (pipe(PICTURES[:3]), [pipe(image) for image in PICTURES[:3]]):
            for ours, theirs in zip(obtained, expected, strict=True):
                assert [row["label"] for row in ours] == [row["label"] for row in theirs]
                assert all(abs(a["score"] - b["score"]) < 1e-3 for a, b in zip(ours, theirs, strict=True))


def test_what_is_not_known_is_refused_by_name(classifier: tuple[Path, Path], tmp_path: Path) -> None:
    folder = edited(classifier, tmp_path / "folder", lambda model: None)
    settings = json.loads((folder / "preprocessor_config.json").read_text())
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps({**settings, "image_processor_type": "Pix2StructImageProcessor"}))
    with pytest.raises(
        UnsupportedFormat, match="its image processor is Pix2StructImageProcessor, which is not read here"
    ):
        onnxpress.pipeline(model=folder)
    path.unlink()
    with pytest.raises(
        onnxpress.errors.MissingFile, match=r"preprocessor_config.json: there is no such file, so it is"
    ):
        onnxpress.pipeline(model=folder)
    path.write_text(json.dumps(settings))
    with pytest.raises(UnknownTask, match="its graph gives picture classes, which is not what object-detection needs"):
        onnxpress.pipeline("object-detection", model=folder)
    with pytest.warns(AdoptionWarning, match="labels are assumed to be LABEL_0 to LABEL_4"):
        (folder / "config.json").write_text("{}")
        onnxpress.pipeline(model=folder).close()
    with onnxpress.pipeline(model=folder, labels=list("abcde")) as pipe:
        assert {row["label"] for row in pipe(PICTURES[0])} == set("abcde")
    with pytest.raises(InputError, match="3 labels, and the graph gives 5 scores"):
        onnxpress.pipeline(model=folder, labels=list("abc"))
