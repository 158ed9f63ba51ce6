"""The program of a manifest gives the numbers that its definition says, for every size."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from onnxpress.errors import InputError
from onnxpress.format import picture_sizes as sizes
from onnxpress.format.pictures import (
    PATCH_GRID,
    PATCH_MASK,
    PIXEL_MASK,
    CenterCrop,
    ImageSettings,
    Normalization,
    PadToMiddle,
    PadToMultiple,
    PadToSize,
    Patches,
    PicturePad,
    PixelValues,
    Resize,
    ResizeEdge,
    ResizeToMultiple,
    ResizeToPatches,
    ResizeWithin,
    TurnToLie,
)
from onnxpress.image.transform import Transform, apply, output_size, padded_size, value_table

EDGES = st.integers(1, 4_000)


def picture(height: int, width: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8))


@given(EDGES, EDGES, st.integers(1, 400))
def test_the_shorter_edge_is_as_asked(height: int, width: int, shortest: int) -> None:
    new = sizes.shortest_edge((height, width), shortest)
    assert min(new) == shortest
    assert abs(max(new) - shortest * max(height, width) / min(height, width)) < 1


@given(EDGES, EDGES, st.integers(8, 400), st.integers(400, 1333))
def test_the_longer_edge_has_a_limit(height: int, width: int, shortest: int, longest: int) -> None:
    new = sizes.shortest_and_longest_edge((height, width), shortest, longest)
    assert max(new) <= longest or new == (height, width)


@given(EDGES, EDGES, EDGES, EDGES)
def test_what_fits_fits_and_no_more(height: int, width: int, tall: int, wide: int) -> None:
    new = sizes.within((height, width), (tall, wide))
    assert new[0] <= tall and new[1] <= wide
    assert new[0] >= tall - 1 or new[1] >= wide - 1


@given(EDGES, EDGES, st.integers(1, 64))
def test_a_multiple_is_not_larger(height: int, width: int, divisor: int) -> None:
    new = sizes.down_to_multiple((height, width), divisor)
    assert new[0] % divisor == new[1] % divisor == 0
    assert height - divisor < new[0] <= height and width - divisor < new[1] <= width


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(1, 40))
def test_a_crop_keeps_the_middle_and_adds_black(height: int, width: int, tall: int, wide: int) -> None:
    image = picture(height, width)
    cropped = np.asarray(apply(CenterCrop(tall, wide), image))
    assert cropped.shape == (tall, wide, 3)
    inside = min(height, tall), min(width, wide)
    if (tall - height) % 2 == 0 and (wide - width) % 2 == 0:
        rows, columns = (abs(tall - height) // 2, abs(wide - width) // 2)
        ours = cropped[rows if tall > height else 0 :][: inside[0], columns if wide > width else 0 :][:, : inside[1]]
        theirs = np.asarray(image)[rows if height > tall else 0 :][: inside[0]]
        assert np.array_equal(ours, theirs[:, columns if width > wide else 0 :][:, : inside[1]])
    if tall >= height and wide >= width:
        assert cropped.astype(int).sum() == np.asarray(image).astype(int).sum()


@pytest.mark.parametrize("step", [ResizeEdge(224, "bilinear"), ResizeToMultiple(32, "bilinear")])
def test_an_extreme_shape_is_refused_before_it_takes_memory(step: ResizeEdge | ResizeToMultiple) -> None:
    with pytest.raises(InputError, match=r"A picture of 1x4000 pixels would become \d+x\d+ .* less extreme shape"):
        apply(step, Image.new("RGB", (1, 4_000)))


def test_values_are_scaled_moved_and_normalized_in_this_order() -> None:
    values = PixelValues(0.5, -1.0, (Normalization((1.0, 2.0, 3.0), (2.0, 4.0, 8.0)),))
    table = value_table(values)
    assert table.dtype == np.float32
    assert table[:, 10].tolist() == [(5 - 1 - 1) / 2, (5 - 1 - 2) / 4, (5 - 1 - 3) / 8]


def test_channels_are_reversed_with_their_values() -> None:
    image = Image.new("RGB", (2, 1), (10, 20, 30))
    transform = Transform(ImageSettings(("x",), (), PixelValues(1.0, reversed_channels=True)))
    assert transform(image)[:, 0, 0].tolist() == [30, 20, 10]


@pytest.mark.parametrize(
    ("pad", "size"),
    [(PadToSize(9, 20), (9, 20)), (PadToMultiple(4), (8, 12)), (PadToMultiple(7), (7, 14)), (None, (7, 9))],
)
def test_padding_is_zeros_below_and_on_the_right_and_the_mask_tells(
    pad: PicturePad | None, size: tuple[int, int]
) -> None:
    settings = ImageSettings(("x", PIXEL_MASK), (), PixelValues(1.0, offset=5.0), pad)
    arrays = Transform(settings).arrays(picture(7, 9))
    assert list(arrays) == ["x", PIXEL_MASK] and arrays["x"].shape == (3, *size)
    assert (arrays["x"][:, :7, :9] >= 5).all() and arrays["x"].sum() == arrays["x"][:, :7, :9].sum()
    assert arrays[PIXEL_MASK].dtype == np.int64 and arrays[PIXEL_MASK].shape == size
    assert arrays[PIXEL_MASK][:7, :9].all() and arrays[PIXEL_MASK].sum() == 7 * 9
    assert output_size(settings) == (size if isinstance(pad, PadToSize) else None)


def test_a_size_is_known_where_all_pictures_are_padded_to_it() -> None:
    steps = (Resize(20, 30, "nearest"),)
    assert output_size(ImageSettings(("x",), steps, pad=PadToMultiple(16))) == (32, 32)
    assert output_size(ImageSettings(("x",), steps, pad=PadToSize(40, 41))) == (40, 41)


def test_padding_refuses_what_does_not_fit() -> None:
    with pytest.raises(InputError, match="9x7 pixels is larger than the 9x6 that this model takes"):
        padded_size(PadToSize(6, 9), (7, 9))
    with pytest.raises(InputError, match=r"would be padded to 16384x16384 .* less extreme shape"):
        padded_size(PadToMultiple(16_384), (7, 9))


@given(EDGES, EDGES, st.integers(16, 400), st.integers(400, 1333), st.integers(1, 16))
def test_edges_in_multiples_are_within_a_multiple_of_edges(
    height: int, width: int, shortest: int, longest: int, divisor: int
) -> None:
    new = sizes.multiples_by_edges((height, width), shortest, longest, divisor)
    plain = sizes.shortest_and_longest_edge((height, width), shortest, longest)
    assert new[0] % divisor == new[1] % divisor == 0
    if min(height, width) != min(plain):  # otherwise the one keeps the size and the other rounds it
        assert new == sizes.down_to_multiple(plain, divisor)


def test_a_program_runs_in_order_and_gives_one_size() -> None:
    steps = (Resize(20, 30, "nearest"), CenterCrop(8, 10))
    values = Transform(ImageSettings(("x",), steps, PixelValues(1 / 255)))(picture(33, 44))
    assert values.shape == (3, 8, 10) and values.dtype == np.float32 and 0 <= values.min() < values.max() <= 1
    assert output_size(ImageSettings(("x",), steps)) == (8, 10)
    for some in ((ResizeEdge(8, "box"),), (), (ResizeWithin(8, 8, "box"),)):
        assert output_size(ImageSettings(("x",), some)) is None


@given(EDGES, EDGES, EDGES, EDGES)
def test_what_is_shrunk_and_turned_lies_as_asked(height: int, width: int, tall: int, wide: int) -> None:
    image, wanted = (height, width), (tall, wide)
    turned = image[::-1] if sizes.lies_across(image, wanted) else image
    assert not sizes.lies_across(turned, wanted)
    new = sizes.shrunk(image, wanted)
    assert new[0] <= height and new[1] <= width
    assert new == image or new[0] <= tall or new[1] <= wide


def test_a_picture_is_turned_clockwise_and_set_into_the_middle() -> None:
    image = picture(2, 5)
    turned = apply(TurnToLie(9, 8), image)
    assert np.array_equal(np.asarray(turned), np.rot90(np.asarray(image), 3))
    assert apply(TurnToLie(8, 8), image) is image
    padded = np.asarray(apply(PadToMiddle(9, 5), turned))
    assert np.array_equal(padded[2:7, 1:3], np.asarray(turned))
    assert padded.sum() == np.asarray(turned).sum()
    with pytest.raises(InputError, match="larger than the 4x9 that this model takes"):
        apply(PadToMiddle(9, 4), image)


@given(st.integers(1, 150), st.integers(1, 150), st.integers(0, 3))
def test_pixels_are_looked_up_in_a_table(height: int, width: int, more: int) -> None:
    values = PixelValues(1 / 255, normalizations=(Normalization((0.1, 0.2, 0.3), (0.4, 0.5, 0.6)),))
    image, table = picture(height, width), value_table(values)
    settings = ImageSettings(("x",), (), values, PadToMultiple(more) if more else None)
    expected = np.stack([table[channel][np.asarray(image)[:, :, channel]] for channel in range(3)])
    assert np.array_equal(Transform(settings)(image)[:, :height, :width], expected)


@given(EDGES, EDGES, st.integers(1, 60))
def test_patches_are_rows_that_a_grid_tells_of(height: int, width: int, most: int) -> None:
    settings = ImageSettings(
        ("x", PATCH_MASK, PATCH_GRID), (ResizeToPatches(4, most, "nearest"),), PixelValues(), patches=Patches(4, most)
    )
    image = picture(height, width)
    arrays = Transform(settings).arrays(image)
    high, wide = arrays[PATCH_GRID].tolist()
    assert 1 <= high * wide <= most and arrays["x"].shape == (most, 48)
    assert arrays[PATCH_MASK].tolist() == [1] * (high * wide) + [0] * (most - high * wide)
    pixels = np.asarray(apply(settings.steps[0], image))
    assert pixels.shape == (4 * high, 4 * wide, 3) and not arrays["x"][high * wide :].any()
    last = pixels[-4:, -4:].astype(np.float32)
    assert np.array_equal(arrays["x"][high * wide - 1], last.reshape(-1))
    with pytest.raises(InputError, match="patches for this model"):
        Transform(replace(settings, steps=(), patches=Patches(1, 1)))(picture(2, 1))


def test_a_crop_of_torchvision_goes_to_the_even_number() -> None:
    image = picture(9, 20)
    for tall, wide, top, left in ((6, 17, 2, 2), (8, 19, 0, 0), (4, 10, 2, 5)):
        expected = np.asarray(image)[top : top + tall, left : left + wide]
        assert np.array_equal(np.asarray(apply(CenterCrop(tall, wide, even=True), image)), expected)
    small = np.asarray(apply(CenterCrop(12, 20, even=True), image))
    assert np.array_equal(small[1:10], np.asarray(image)) and not small[0].any() and not small[10:].any()
