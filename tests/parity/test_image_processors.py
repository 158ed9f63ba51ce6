"""Every image processor that is read gives transformers' own numbers, for any size, mode and settings."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers.image_utils import load_image

from onnxpress.errors import ArtifactError, InputError
from onnxpress.image.opening import open_picture
from onnxpress.image.transform import Transform
from onnxpress.layouts.files import Files
from onnxpress.layouts.picture_answers import DETECTIONS
from onnxpress.layouts.picture_files.classes import CLASSES
from onnxpress.layouts.picture_files.readers import READERS
from onnxpress.layouts.picture_files.settings import read_pictures
from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.source.image_processors import overridden, read_image_processor
from onnxpress_exporter.tasks.object_detection import detection_of
from tests.fixtures.image_processors import classes, page

PAGE = Path(__file__).parents[2] / "docs/image-processors.md"

_FLAT, _CROP = {"height": 40, "width": 56}, {"height": 48, "width": 33}

#: Settings that the published files of a class have, beside its own; each row is one checkpoint.
ROWS: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("ViT", {}),
    ("ViT", {"size": _FLAT, "resample": 3, "do_rescale": False}),
    ("ViT", {"do_resize": False, "image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}),
    ("ViT", {"do_normalize": False, "rescale_factor": 0.01}),
    ("ViT", {"do_rescale": False, "do_normalize": False}),
    ("ViT", {"size": {"max_height": 50, "max_width": 70}}),
    ("DeiT", {"size": _FLAT, "crop_size": _CROP}),
    ("DeiT", {"do_center_crop": False, "resample": 0}),
    ("Bit", {"size": {"shortest_edge": 50}, "crop_size": _CROP}),
    ("Bit", {"size": {"shortest_edge": 37, "longest_edge": 61}, "do_center_crop": False}),
    ("CLIP", {}),
    ("Siglip", {}),
    ("Blip", {"size": _FLAT}),
    ("Pvt", {}),
    ("OwlViT", {"size": _FLAT}),
    ("MobileNetV1", {}),
    ("MobileNetV2", {"size": {"shortest_edge": 55}, "crop_size": _CROP}),
    ("Beit", {"size": _FLAT, "do_center_crop": True, "crop_size": _CROP}),
    ("ConvNext", {"size": {"shortest_edge": 60}, "crop_pct": 0.95}),
    ("ConvNext", {"size": {"shortest_edge": 384}, "resample": 1}),
    ("PoolFormer", {"crop_pct": 0.95}),
    ("PoolFormer", {"size": _FLAT, "crop_size": _CROP}),
    ("PoolFormer", {"crop_pct": None, "size": {"shortest_edge": 50}}),
    ("Levit", {"size": {"shortest_edge": 33}, "crop_size": _CROP}),
    ("Levit", {"size": _FLAT, "do_center_crop": False}),
    ("EfficientNet", {"size": _FLAT, "rescale_offset": True, "rescale_factor": 1 / 127.5}),
    ("EfficientNet", {"include_top": False, "do_center_crop": True, "crop_size": _CROP}),
    ("MobileViT", {"size": {"shortest_edge": 50}, "crop_size": _CROP}),
    ("MobileViT", {"do_flip_channel_order": False, "do_normalize": True}),
    ("Segformer", {"size": _FLAT, "do_center_crop": True, "crop_size": _CROP}),
    ("GLPN", {}),
    ("Perceiver", {}),
    ("Perceiver", {"size": _FLAT, "crop_size": _CROP, "resample": 2}),
    ("Perceiver", {"do_resize": False}),
    ("TextNet", {"size": {"shortest_edge": 70}}),
    ("TextNet", {"size": {"shortest_edge": 64}, "size_divisor": 17, "do_center_crop": True, "crop_size": _CROP}),
    ("Bit", {"size": _FLAT, "do_center_crop": False, "do_pad": True, "pad_size": {"height": 64, "width": 80}}),
    ("Detr", {"size": {"shortest_edge": 60, "longest_edge": 90}}),
    ("Detr", {"size": {"shortest_edge": 60, "longest_edge": 90}, "pad_size": {"height": 90, "width": 95}}),
    ("Detr", {"size": {"max_height": 50, "max_width": 70}, "do_pad": False}),
    ("Detr", {"size": 60, "max_size": 80, "resample": 3}),
    ("ConditionalDetr", {"size": _FLAT, "do_normalize": False}),
    ("DeformableDetr", {"size": {"shortest_edge": 47, "longest_edge": 61}}),
    ("RTDetr", {}),
    ("RTDetr", {"size": _FLAT, "do_normalize": True, "do_pad": True}),
    ("Yolos", {"size": {"shortest_edge": 60, "longest_edge": 90}}),
    ("Sam", {"size": {"longest_edge": 61}, "pad_size": {"height": 64, "width": 70}}),
    ("DPT", {}),
    ("DPT", {"size": {"height": 70, "width": 84}, "keep_aspect_ratio": True, "ensure_multiple_of": 14}),
    ("DPT", {"size": _FLAT, "ensure_multiple_of": 16, "do_reduce_labels": True}),
    ("DPT", {"size": _FLAT, "keep_aspect_ratio": True, "do_pad": True, "size_divisor": 14}),
    ("MaskFormer", {"size": {"shortest_edge": 60, "longest_edge": 90}}),
    ("MaskFormer", {"size": _FLAT, "size_divisor": 24, "pad_size": {"height": 60, "width": 90}}),
    ("Mask2Former", {"size": _FLAT}),
    ("Mask2Former", {"size": {"shortest_edge": 33, "longest_edge": 50}, "size_divisor": 0, "do_normalize": False}),
    ("Siglip2", {"max_num_patches": 40}),
    ("Siglip2", {"max_num_patches": 25, "patch_size": 14, "resample": 3, "do_normalize": False}),
    ("Swin2SR", {}),
    ("Swin2SR", {"size_divisor": 20, "do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}),
    ("Swin2SR", {"do_pad": False, "do_rescale": False}),
    ("Vilt", {"size": {"shortest_edge": 64}}),
    ("Vilt", {"size": {"shortest_edge": 50}, "size_divisor": 7, "do_normalize": False}),
    ("Vilt", {"do_resize": False, "do_pad": False}),
    ("Donut", {"size": [40, 56]}),
    ("Donut", {"size": {"height": 40, "width": 56}, "do_align_long_axis": True, "resample": 0}),
    ("Donut", {"size": [56, 40], "do_align_long_axis": True, "do_thumbnail": False, "do_pad": False, "resample": 3}),
    ("Donut", {"size": [150, 200], "do_resize": False, "do_pad": False, "do_normalize": False}),
    ("Yolos", {"size": {"max_height": 50, "max_width": 70}, "do_rescale": False}),
)


@cache
def _read(row: int) -> tuple[Any, Transform]:
    name, changes = ROWS[row]
    processor = getattr(transformers, f"{name}ImageProcessorPil")(**changes)
    return processor, Transform(read_image_processor(processor))


def picture(seed: int, height: int, width: int, mode: str) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 4), dtype=np.uint8)
    image = Image.fromarray(pixels if mode in ("RGBA", "LA", "PA") else pixels[:, :, :3])
    return image.convert("L").convert(mode) if mode in ("1", "P", "PA", "LA") else image.convert(mode)


@pytest.mark.parametrize("row", range(len(ROWS)), ids=[f"{name}-{number}" for number, (name, _) in enumerate(ROWS)])
@settings(max_examples=12)
@given(
    st.integers(0, 99),
    st.integers(33, 400),
    st.integers(33, 400),
    st.sampled_from(["RGB", "L", "RGBA", "P", "CMYK", "1", "LA"]),
)
def test_the_numbers_are_transformers(row: int, seed: int, height: int, width: int, mode: str) -> None:
    processor, transform = _read(row)
    image = picture(seed, height, width, mode)
    try:
        arrays = transform.arrays(open_picture(image))
    except InputError:
        return  # a side of it would be nothing, which transformers raises of
    answer = processor(images=load_image(image), return_tensors="np")
    # The mask is of segmenters, whose models do not look at it, and the sizes are known of the picture.
    assert set(answer) - set(arrays) <= {"pixel_mask", "original_sizes", "reshaped_input_sizes"}
    for array, obtained in arrays.items():
        expected = answer[array][0]
        assert obtained.shape == expected.shape
        if expected.dtype != np.float32:
            assert np.array_equal(obtained, expected)
        assert np.abs(obtained - expected).max() <= 1e-6


@pytest.mark.parametrize("shape", [(1, 1), (1, 60), (60, 1), (2, 300), (1_200, 900)], ids=str)
def test_sizes_at_the_edges(shape: tuple[int, int]) -> None:
    for row in range(len(ROWS)):
        processor, transform = _read(row)
        image = picture(0, *shape, "RGB")
        try:
            obtained = transform(image)
        except InputError:
            continue  # nothing would be left, or far too much
        expected = processor(images=image, return_tensors="np", input_data_format="channels_last")["pixel_values"][0]
        assert obtained.shape == expected.shape and np.abs(obtained - expected).max() <= 1e-6


def test_every_class_of_transformers_is_read_or_refused_by_name(tmp_path: Path) -> None:
    """What is read of a class is what is read where it is not installed: what counts where a file says nothing, and
    which models have it."""
    read, expected = set(), set()
    for name, types in sorted(classes().items()):
        kind, plain = getattr(transformers, name), name.removesuffix("Pil")
        if plain in READERS or not list(overridden(kind)):
            expected.add(plain)
        try:
            program = read_image_processor(kind())
        except UnsupportedCheckpoint as error:
            assert str(error).startswith(plain)
            continue
        read.add(plain)
        assert read_pictures(_files(tmp_path, {"image_processor_type": plain}), {}).image == program
        row = CLASSES[plain.removesuffix("ImageProcessor")]
        assert {model_type.replace("-", "_") for model_type in types} == row.types
        assert read_pictures(_files(tmp_path, {"do_resize": True}), {"model_type": types[0]}).image == program
    assert {f"{name}ImageProcessor" for name in CLASSES} == read
    assert read >= {f"{name}ImageProcessor" for name, _ in ROWS} and read == expected


def test_the_page_of_image_processors_is_current() -> None:
    expected = "run python -m tests.fixtures.image_processors > docs/image-processors.md"
    assert PAGE.read_text(encoding="utf-8") == page(), expected


def _files(folder: Path, saved: Mapping[str, Any]) -> Files:
    folder.mkdir(exist_ok=True)
    (folder / "preprocessor_config.json").write_text(json.dumps(saved))
    return Files(folder)


@pytest.mark.parametrize("row", range(len(ROWS)), ids=[f"{name}-{number}" for number, (name, _) in enumerate(ROWS)])
def test_a_file_alone_is_read_as_the_class_is(row: int, tmp_path: Path) -> None:
    """What the file of a published checkpoint holds, and all that transformers writes."""
    name, changes = ROWS[row]
    processor, _ = _read(row)
    expected = read_image_processor(processor)
    whole = json.loads(processor.to_json_string())
    for number, (key, kind, saved) in enumerate(
        [
            ("image_processor_type", f"{name}ImageProcessor", changes),
            ("image_processor_type", f"{name}ImageProcessorFast", whole),
            ("feature_extractor_type", f"{name}FeatureExtractor", changes),
        ]
    ):
        files = _files(tmp_path / str(number), {**saved, "image_processor_type": None, key: kind})
        assert read_pictures(files, {}).image == expected


#: Values as older files say them.
OLDER: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("ViT", {"size": 40}),
    ("CLIP", {"size": 50, "crop_size": 48}),
    ("CLIP", {"use_square_size": True, "crop_size": [40, 30]}),
    ("Detr", {"size": 60}),
    ("Detr", {"max_size": 90, "pad_and_return_pixel_mask": False}),
    ("Yolos", {"size": 60, "max_size": 70}),
    ("MaskFormer", {"size": 60, "max_size": 80}),
    ("Mask2Former", {"max_size": 900}),
    ("Donut", {"size": [30, 50]}),
    ("OwlViT", {"rescale": False}),
    ("Swin2SR", {"pad_size": 16}),
    ("ConvNext", {"size": 64}),
    ("Beit", {"size": [40, 56], "do_resize": None, "resample": None}),
    ("Segformer", {"size": 64, "reduce_labels": True}),
    ("Siglip", {"size": 64, "image_mean": 0.5, "image_std": [0.5, 0.4, 0.3]}),
)


@pytest.mark.parametrize(("name", "saved"), OLDER, ids=[f"{name}-{number}" for number, (name, _) in enumerate(OLDER)])
def test_older_files_are_read_as_the_class_reads_them(name: str, saved: dict[str, Any], tmp_path: Path) -> None:
    expected = read_image_processor(getattr(transformers, f"{name}ImageProcessorPil")(**copy.deepcopy(saved)))
    files = _files(tmp_path, {**saved, "image_processor_type": f"{name}ImageProcessor"})
    assert read_pictures(files, {}).image == expected


def test_the_table_of_detectors_is_transformers() -> None:
    makes = {}
    for name in CLASSES:
        processor = getattr(transformers, f"{name}ImageProcessorPil")()
        if hasattr(processor, "post_process_object_detection") and not name.startswith("Owl"):
            makes[name] = detection_of(processor)
    assert makes == DETECTIONS


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        ({"size": {"height": 1 << 20, "width": 3}}, "size should be numbers of pixels"),
        ({"size": "large"}, "size should be numbers of pixels"),
        ({"size": {"edge": 3}}, "which is not read by this version"),
        ({"image_std": [1, 2]}, "image_std should be a number, or one for each channel"),
        ({"image_std": 0}, "zero"),
        ({"rescale_factor": "1/255"}, "rescale_factor should be a number"),
        ({"resample": 9}, "is no filter of Pillow"),
        ({"do_resize": "yes"}, "do_resize should be true or false"),
    ],
)
def test_hostile_values_are_refused_by_name(saved: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=message):
        read_pictures(_files(tmp_path, {"image_processor_type": "ViTImageProcessor", **saved}), {})
