"""What is drawn on pictures, of results made by hand in transformers' shapes: where pixels change, and where not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from onnxpress.image.drawing import draw
from onnxpress.image.seen import Sight, data_uri, see

GREY = (128, 128, 128)
BOX = {"xmin": 100, "ymin": 120, "xmax": 300, "ymax": 260}
MASK = Image.fromarray(np.pad(np.full((100, 150), 255, np.uint8), ((50, 250), (60, 290))))


def picture(width: int = 500, height: int = 400) -> Image.Image:
    return Image.new("RGB", (width, height), GREY)


def drawn(result: Any, image: Image.Image | None = None) -> np.ndarray:
    sight = see(result)
    assert sight is not None
    return np.asarray(draw(image or picture(), sight))


def changed(pixels: np.ndarray) -> np.ndarray:
    return (pixels != GREY).any(axis=-1)


def test_a_box_is_outlined_and_its_label_has_a_ground() -> None:
    pixels = drawn([{"score": 0.9, "label": "cat", "box": BOX}])
    assert pixels.shape == (400, 500, 3)
    different = changed(pixels)
    assert different[120:261, 100].all()
    assert different[260, 100:301].all()
    assert not different[140:240, 120:280].any()
    assert not different[270:].any()
    assert different[105:118, 102:130].all()  # the label's ground, above the box


def test_a_label_at_the_upper_edge_is_within_the_picture() -> None:
    pixels = drawn([{"score": 0.9, "label": "cat", "box": {**BOX, "ymin": 0}}])
    assert changed(pixels)[2:14, 102:130].all()


@pytest.mark.parametrize(
    "box",
    [
        {"xmin": -50, "ymin": -10, "xmax": 900, "ymax": 700},
        {"xmin": 300, "ymin": 260, "xmax": 100, "ymax": 120},
        {"xmin": 700, "ymin": 700, "xmax": 800, "ymax": 800},
        {"xmin": 10, "ymin": 10, "xmax": 10, "ymax": 10},
    ],
)
def test_a_box_beyond_the_picture_or_without_an_area_is_drawn(box: dict[str, int]) -> None:
    assert changed(drawn([{"score": 0.9, "label": "cat", "box": box}])).any()


def test_a_mask_colours_what_it_covers_and_nothing_else() -> None:
    pixels = drawn([{"score": None, "label": "sky", "mask": MASK}])
    different = changed(pixels[:400])
    np.testing.assert_array_equal(different, np.asarray(MASK) > 0)
    assert pixels.shape[0] > 400  # its label below
    inside = pixels[100, 130].astype(int)
    assert abs(inside - np.array(GREY)).max() < 100  # the picture is seen through it


def test_equal_labels_have_one_colour_and_others_another() -> None:
    boxes = [{"xmin": x, "ymin": 200, "xmax": x + 50, "ymax": 300} for x in (10, 110, 210)]
    results = [{"score": 0.9, "label": label, "box": box} for label, box in zip("aba", boxes, strict=True)]
    pixels = drawn(results)
    first, second, third = (tuple(pixels[250, x + 2]) for x in (10, 110, 210))
    assert first == third != second


@pytest.mark.parametrize(
    "result",
    [
        [{"label": "cat", "score": 0.9}, {"label": "dog", "score": 0.1}],
        [{"generated_text": "a cat on a mat"}],
        {"generated_text": "a cat on a mat"},
        [{"score": 0.9, "answer": "two"}],
        "a cat",
        [{"label": "猫 собака", "score": 0.5}],
    ],
)
def test_texts_are_below_the_picture_which_stays_as_it_was(result: Any) -> None:
    pixels = drawn(result)
    assert pixels.shape[0] > 400
    assert not changed(pixels[:400]).any()
    assert pixels[400:].max() > 200  # ink


def test_a_thousand_labels_are_cut_and_counted() -> None:
    assert drawn([{"label": f"class {i}", "score": 0.001} for i in range(1000)]).shape[0] < 1200


def test_depth_is_beside_the_picture() -> None:
    depth = np.linspace(0, 10, 50 * 40, dtype=np.float32).reshape(1, 40, 50)
    pixels = drawn({"predicted_depth": depth, "depth": None})
    assert pixels.shape[1] == 1000
    assert not changed(pixels[:400, :500]).any()
    assert pixels[390, 990].sum() > pixels[10, 510].sum() + 300


@pytest.mark.parametrize("value", [3.0, np.nan])
def test_depth_without_a_range_is_drawn(value: float) -> None:
    assert drawn({"predicted_depth": np.full((1, 8, 8), value, np.float32)}).shape[1] == 1000


def test_masks_of_mask_generation_are_numbered() -> None:
    sight = see({"masks": [np.asarray(MASK) > 0] * 2, "scores": np.array([0.9, 0.8])})
    assert sight is not None
    assert [thing.words for thing in sight.things] == ["#1 0.90", "#2 0.80"]


def test_a_small_picture_is_enlarged_and_its_boxes_with_it() -> None:
    box = {"xmin": 8, "ymin": 8, "xmax": 24, "ymax": 24}
    pixels = drawn([{"score": 0.9, "label": "cat", "box": box}], picture(32, 32))
    assert pixels.shape == (384, 384, 3)
    assert changed(pixels)[100:280, 97].all()


def test_the_picture_that_a_model_made_is_taken_as_it_is() -> None:
    made = Image.new("L", (30, 20), 7)
    assert drawn(made).shape == (20, 30, 3)


@pytest.mark.parametrize("result", [np.zeros(3), [[0.1, 0.2]], [], 3.0, [{"start": 1}]])
def test_what_cannot_be_seen_is_none_or_nothing(result: Any) -> None:
    assert see(result) in (None, Sight())


def test_the_caller_s_picture_is_not_drawn_on() -> None:
    image = picture()
    drawn([{"score": 0.9, "label": "cat", "box": BOX}], image)
    assert not changed(np.asarray(image)).any()


def test_a_picture_as_json_can_be_opened_again() -> None:
    from onnxpress.image.opening import open_picture

    np.testing.assert_array_equal(np.asarray(open_picture(data_uri(MASK)))[:, :, 0], np.asarray(MASK))


def test_labels_of_boxes_at_one_place_cover_none_of_each_other() -> None:
    """All grounds together are as large as those of labels that stand apart."""

    def grounds(shift: int) -> int:
        boxes = [{"xmin": 10, "ymin": 40 + place * shift, "xmax": 11, "ymax": 41 + place * shift} for place in range(6)]
        results = [{"score": 0.9, "label": label, "box": box} for label, box in zip("aaaaaa", boxes, strict=True)]
        pixels = drawn(results)
        return int((pixels == pixels[20, 11]).all(axis=-1).sum())

    assert grounds(3) > 0.95 * grounds(55)


@pytest.mark.parametrize(("size", "least"), [((3000, 2000), 80), ((500, 400), 14)])
def test_letters_are_as_large_as_the_picture_asks_for(size: tuple[int, int], least: int) -> None:
    box = {"xmin": size[0] // 2, "ymin": size[1] // 2, "xmax": size[0] - 9, "ymax": size[1] - 9}
    different = changed(drawn([{"score": 0.9, "label": "cat", "box": box}], picture(*size)))
    assert different[: box["ymin"] - 1].any(axis=1).sum() >= least


@pytest.mark.parametrize("size", [(8, 8), (24, 18), (400, 60), (60, 400)])
def test_a_small_picture_is_enlarged_by_a_whole_factor(size: tuple[int, int]) -> None:
    pixels = drawn(
        [{"score": 0.9, "label": "cat", "box": {"xmin": 0, "ymin": 2, "xmax": 3, "ymax": 4}}], picture(*size)
    )
    width, height = pixels.shape[1], pixels.shape[0]
    assert width % size[0] == 0 == height % size[1] and width // size[0] == height // size[1]
    assert min(width, height) >= 160 and max(width, height) >= 384


def test_the_edge_of_a_mask_is_wider_on_a_larger_picture() -> None:
    mask = Image.new("L", (3000, 2000))
    mask.paste(255, (500, 500, 2500, 1500))
    pixels = drawn([{"score": 0.9, "label": "sky", "mask": mask}], picture(3000, 2000))
    edge = (pixels[1000, :1000] == pixels[1000, 500]).all(axis=-1)
    assert edge[500:505].all() and not edge[510:].any()
