"""Tasks of pictures against transformers' pipelines: every way to pass a picture, every option, every architecture."""

from __future__ import annotations

import base64
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import Dataset
from transformers.pipelines.pt_utils import KeyDataset

from onnxpress import InputError, pipeline
from tests.fixtures.store import Store
from tests.fixtures.tiny_pictures import ARCHITECTURES, tiny_patches_checkpoint, tiny_picture_checkpoint
from tests.parity.alike import SCORE, assert_alike

CLASSES, FEATURES = "image-classification", "image-feature-extraction"
HEADS = {CLASSES: "ForImageClassification", FEATURES: "Model"}


def picture(height: int, width: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


PICTURES = [picture(60, 80), picture(200, 33), picture(64, 64), picture(7, 5), Image.new("RGB", (90, 70), "teal")]


@pytest.fixture(scope="module")
def pair(
    tmp_path_factory: pytest.TempPathFactory, store: Store, reference: Callable[..., Any]
) -> Callable[[str, str], tuple[Any, Any]]:
    """`pair(architecture, task)` -> our pipeline and transformers'."""

    def open_both(name: str, task: str) -> tuple[Any, Any]:
        checkpoint = tiny_picture_checkpoint(name, tmp_path_factory.mktemp(task) / name, HEADS[task])
        return pipeline(model=store.artifact(checkpoint)), reference(checkpoint, task)

    return open_both


@pytest.fixture(scope="module")
def classifiers(pair: Callable[[str, str], tuple[Any, Any]]) -> tuple[Any, Any]:
    return pair("vit", CLASSES)


@pytest.mark.parametrize(
    "options",
    [{}, {"top_k": 1}, {"top_k": 2}, {"top_k": 99}, {"top_k": None}, {"top_k": 0}]
    + [{"function_to_apply": name} for name in ("sigmoid", "softmax", "none", "NONE")]
    + [{"timeout": 3.0}],
    ids=str,
)
def test_options(classifiers: tuple[Any, Any], options: dict[str, Any]) -> None:
    ours, theirs = classifiers
    assert_alike(ours(PICTURES[0], **options), theirs(PICTURES[0], **options))
    assert_alike(ours(PICTURES, **options), theirs(PICTURES, **options))


class _Rows(Dataset[Any]):
    """It has a length and items, and no iterator."""

    def __init__(self, rows: list[Any]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Any:
        return self._rows[index]


def test_every_way_to_pass_a_picture(classifiers: tuple[Any, Any], tmp_path: Path) -> None:
    """What transformers takes, it is asked for; what it does not take gives what the file gives."""
    ours, theirs = classifiers
    path = tmp_path / "a picture.png"
    PICTURES[0].save(path)
    content, pixels = path.read_bytes(), np.asarray(PICTURES[0])
    uri = "data:image/png;base64," + base64.b64encode(content).decode()
    expected = theirs(str(path))
    for raw in (str(path), uri, PICTURES[0], pixels, np.moveaxis(pixels, -1, 0), torch.tensor(pixels)):
        assert_alike(ours(raw), theirs(raw))
        assert_alike(ours(raw), expected)
    with path.open("rb") as file:
        for raw in (path, content, bytearray(content), memoryview(content), BytesIO(content), file, file):
            assert_alike(ours(raw), expected)
            assert_alike(ours(images=[raw]), [expected])
    assert_alike(ours(images=str(path)), expected)
    assert_alike(ours(image=str(path)), expected)
    grey = PICTURES[0].convert("L")
    assert_alike(ours(np.asarray(grey)), theirs(grey))
    with path.open(encoding="latin-1") as file, pytest.raises(InputError, match=r"Open it as binary: open\(path, 'rb'"):
        ours(file)


def test_every_way_to_pass_several(classifiers: tuple[Any, Any], tmp_path: Path) -> None:
    ours, theirs = classifiers
    expected = theirs(PICTURES)
    rows = [{"picture": image, "label": 0} for image in PICTURES]
    assert_alike(ours(PICTURES), expected)
    assert_alike(ours(tuple(PICTURES)), expected)
    for make in (lambda images: (image for image in images), _Rows):
        assert_alike(list(ours(make(PICTURES))), list(theirs(make(PICTURES))))
    assert_alike(list(ours(iter(PICTURES))), expected)
    dataset: Any = _Rows(rows)
    assert_alike(list(ours(KeyDataset(dataset, "picture"))), list(theirs(KeyDataset(dataset, "picture"))))
    assert ours([]) == []  # transformers ends in an IndexError
    with pytest.raises(InputError, match=r"inputs\[0\]: A picture is expected: .* not list"):
        ours([[]])
    with pytest.raises(InputError, match=r"A picture is expected: .* not dict"):
        ours(rows[0])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_are_turned(classifiers: tuple[Any, Any], orientation: int, tmp_path: Path) -> None:
    """A file, and a Pillow image that knows it is turned."""
    ours, theirs = classifiers
    exif = Image.Exif()
    exif[0x0112] = orientation
    for path in (tmp_path / "photo.jpg", tmp_path / "photo.png", tmp_path / "photo.webp"):
        PICTURES[0].save(path, exif=exif.tobytes())
        assert_alike(ours(str(path)), theirs(str(path)))
        with Image.open(path) as image:
            assert_alike(ours(image), theirs(image))


@pytest.mark.parametrize("kind", ["alpha", "palette", "grey", "grey alpha", "two", "animated", "cmyk", "pages"])
def test_pictures_that_are_not_plain(classifiers: tuple[Any, Any], kind: str, tmp_path: Path) -> None:
    ours, theirs = classifiers
    image, options, suffix = PICTURES[0], {}, ".png"
    match kind:
        case "alpha":
            image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 50, 4), dtype=np.uint8))
        case "palette":
            image = image.convert("P")
            options = {"transparency": 3}
        case "grey":
            image = image.convert("L")
        case "grey alpha":
            image = image.convert("LA")
        case "two":
            image = image.convert("1")
        case "pages":
            options, suffix = {"save_all": True, "append_images": PICTURES[2:3]}, ".tif"
        case "animated":
            options, suffix = {"save_all": True, "append_images": PICTURES[2:3]}, ".gif"
        case "cmyk":
            image, suffix = image.convert("CMYK"), ".jpg"
    path = tmp_path / f"picture{suffix}"
    image.save(path, **options)
    assert_alike(ours(str(path)), theirs(str(path)))


@settings(max_examples=10)
@given(st.lists(st.tuples(st.integers(1, 300), st.integers(1, 300)), min_size=1, max_size=6))
def test_an_answer_does_not_depend_on_its_neighbours(
    classifiers: tuple[Any, Any], shapes: list[tuple[int, int]]
) -> None:
    ours, theirs = classifiers
    images = [picture(*shape, seed) for seed, shape in enumerate(shapes)]
    alone = [ours(image) for image in images]
    assert_alike(ours(images), alone)
    assert_alike(alone, [theirs(image) for image in images])


def test_wrong_calls_say_what_to_pass(classifiers: tuple[Any, Any]) -> None:
    ours, _ = classifiers
    with pytest.raises(InputError, match="Pass one picture or several"):
        ours()
    with pytest.raises(InputError, match="Pass pictures once"):
        ours(PICTURES[0], images=PICTURES[1])
    with pytest.raises(InputError, match=r"inputs\[1\]: A picture is expected"):
        ours([PICTURES[0], 7])
    with pytest.raises(InputError, match="top_k is -1"):
        ours(PICTURES[0], top_k=-1)
    with pytest.raises(InputError, match=r"more than the 100 that are read"):
        ours(PICTURES[0], max_pixels=100)
    answers = ours([PICTURES[0], b"no picture", PICTURES[2]], on_error="return")
    assert isinstance(answers[1], InputError) and answers[0] == ours(PICTURES[0])


def test_features(pair: Callable[[str, str], tuple[Any, Any]]) -> None:
    ours, theirs = pair("vit", FEATURES)
    for options in ({}, {"pool": False}, {"pool": True}):
        assert_alike(ours(PICTURES, **options), theirs(PICTURES, **options))
    array = ours(PICTURES[0], return_tensors="np")
    assert array.dtype == np.float32 and array.shape == (1, 17, 32)
    pooled = theirs(PICTURES[0], pool=True, return_tensors=True)
    assert np.allclose(ours(PICTURES[0], pool=True, return_tensors="pt").numpy(), pooled.numpy(), atol=1e-5)


@pytest.mark.nightly
def test_features_of_grids_of_patches(tmp_path: Path, store: Store, reference: Callable[..., Any]) -> None:
    """Pictures of unlike shapes, none of which becomes one column of patches, where PyTorch's table is not its own."""
    checkpoint = tiny_patches_checkpoint(tmp_path / "siglip2")
    ours, theirs = pipeline(model=store.artifact(checkpoint)), reference(checkpoint, FEATURES)
    assert ours.task == FEATURES
    pictures = [picture(60, 80), picture(64, 64), picture(33, 64), picture(200, 130)]
    for options in ({}, {"pool": True}):
        expected = [theirs(image, **options) for image in pictures]
        assert_alike([ours(image, **options) for image in pictures], expected)
        assert_alike(ours(pictures, **options), expected)


@pytest.mark.nightly
@pytest.mark.parametrize("task", HEADS)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture(name: str, task: str, pair: Callable[[str, str], tuple[Any, Any]]) -> None:
    if (name, task) in WITHOUT:
        pytest.skip(WITHOUT[name, task])
    ours, theirs = pair(name, task)
    expected = theirs(PICTURES)
    # Of states the rounding is that of their size, which is about 1 but in a few.
    largest = 1.0 if task == CLASSES else max(float(np.abs(np.array(states)).max()) for states in expected)
    assert_alike(ours(PICTURES), expected, tolerance=SCORE * max(largest, 1.0))
    assert_alike([ours(image) for image in PICTURES], ours(PICTURES), tolerance=SCORE * max(largest, 1.0))


#: What is not compared, and why.
_WITH_TEXT = "its body takes texts beside"
WITHOUT = {
    ("pvt_v2", FEATURES): "transformers' AutoModel does not load it",
    ("clip", FEATURES): _WITH_TEXT,
    ("siglip", FEATURES): _WITH_TEXT,
    ("pixio", CLASSES): "transformers has no such class",
}
