"""Every step of the programs for pictures does what transformers does, bit by bit: for any size from 1 to 4,000, any
aspect and any settings of its own. A step without a row here fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from transformers import (
    DonutImageProcessorPil,
    DPTImageProcessorPil,
    EfficientNetImageProcessorPil,
    GLPNImageProcessorPil,
    MobileViTImageProcessorPil,
    PerceiverImageProcessorPil,
    SamImageProcessorPil,
    Swin2SRImageProcessorPil,
    TextNetImageProcessorPil,
    ViltImageProcessorPil,
    ViTImageProcessorPil,
    YolosImageProcessorPil,
)
from transformers.image_processing_backends import PilBackend
from transformers.image_utils import SizeDict, load_image
from transformers.models.siglip2.image_processing_pil_siglip2 import get_image_size_for_max_num_patches

from onnxpress.errors import InputError
from onnxpress.format.pictures import (
    PIXEL_MASK,
    CenterCrop,
    CropShare,
    ImageSettings,
    Normalization,
    PadAround,
    PadMirrored,
    PadToMiddle,
    PadToMultiple,
    PadToSize,
    PadToSquare,
    PicturePad,
    PictureStep,
    PixelValues,
    Resample,
    Resize,
    ResizeEdge,
    ResizeEdgeNearest,
    ResizeEdgeUp,
    ResizeLongest,
    ResizeNear,
    ResizeOver,
    ResizeToMultiple,
    ResizeToPatches,
    ResizeWithin,
    ShrinkInto,
    TurnToLie,
)
from onnxpress.image.opening import open_picture
from onnxpress.image.transform import Transform, apply

#: uint8 (channels, height, width), as transformers' processors hold pictures.
Pixels = NDArray[np.uint8]

#: Of a picture, and of what it becomes: more adds time, not cases.
_MOST_PIXELS = 200_000

EDGE = 4_000
FILTERS = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
PLAIN = PilBackend()


@dataclass(frozen=True, slots=True)
class Row:
    """How a step is drawn, and what transformers makes of a picture with its settings."""

    steps: st.SearchStrategy[Any]
    reference: Callable[[Any, Pixels], Pixels]


def _by(size: Callable[[Any], dict[str, int]]) -> Callable[[Any, Pixels], Pixels]:
    """As the base class resizes."""
    return lambda step, pixels: PLAIN.resize(pixels, SizeDict(**size(step)), FILTERS.index(step.resample))


def _covering(step: ResizeOver, pixels: Pixels) -> dict[str, int]:
    """As timm's `ResizeKeepRatio` computes it, of which transformers has no copy."""
    height, width = pixels.shape[1:]
    ratio = min(height / step.height, width / step.width)
    return {"height": round(height / ratio), "width": round(width / ratio)}


_filters, _edges = st.sampled_from(FILTERS), st.integers(1, 600)

ROWS: Mapping[type[Any], Row] = {
    Resize: Row(st.builds(Resize, _edges, _edges, _filters), _by(lambda s: {"height": s.height, "width": s.width})),
    ResizeEdge: Row(
        st.builds(ResizeEdge, _edges, _filters)
        | st.builds(
            lambda edge, more, name: ResizeEdge(edge, name, edge + more), _edges, st.integers(0, 600), _filters
        ),
        lambda s, pixels: (
            YolosImageProcessorPil().resize(
                pixels, SizeDict(shortest_edge=s.shortest, longest_edge=s.longest), FILTERS.index(s.resample)
            )
            if s.divisor
            else _by(lambda s: {"shortest_edge": s.shortest} | ({"longest_edge": s.longest} if s.longest else {}))(
                s, pixels
            )
        ),
    ),
    ResizeEdgeUp: Row(
        st.builds(ResizeEdgeUp, _edges, st.integers(1, 64), _filters),
        lambda s, pixels: TextNetImageProcessorPil().resize(
            pixels, SizeDict(shortest_edge=s.shortest), FILTERS.index(s.resample), s.divisor
        ),
    ),
    ResizeEdgeNearest: Row(
        st.builds(
            lambda edge, divisor, name: ResizeEdgeNearest(edge, int(1333 / 800 * edge), divisor, name),
            st.integers(20, 600),
            st.integers(1, 40),
            _filters,
        ),
        lambda s, pixels: ViltImageProcessorPil().resize(
            pixels, SizeDict(shortest_edge=s.shortest), FILTERS.index(s.resample), s.divisor
        ),
    ),
    ResizeWithin: Row(
        st.builds(ResizeWithin, _edges, _edges, _filters),
        _by(lambda s: {"max_height": s.height, "max_width": s.width}),
    ),
    ResizeLongest: Row(
        st.builds(ResizeLongest, _edges, _filters),
        lambda s, pixels: SamImageProcessorPil().resize(
            pixels, SizeDict(longest_edge=s.longest), FILTERS.index(s.resample)
        ),
    ),
    ResizeOver: Row(
        st.builds(ResizeOver, _edges, _edges, _filters),
        lambda s, pixels: PLAIN.resize(pixels, SizeDict(**_covering(s, pixels)), FILTERS.index(s.resample)),
    ),
    ResizeToPatches: Row(
        st.builds(ResizeToPatches, st.integers(1, 32), st.integers(1, 300), _filters),
        lambda s, pixels: PLAIN.resize(
            pixels,
            SizeDict(
                **dict(
                    zip(
                        ("height", "width"),
                        get_image_size_for_max_num_patches(*pixels.shape[1:], s.patch, s.most),
                        strict=True,
                    )
                )
            ),
            FILTERS.index(s.resample),
        ),
    ),
    ResizeToMultiple: Row(
        st.builds(ResizeToMultiple, st.integers(1, 64), _filters),
        lambda s, pixels: GLPNImageProcessorPil().resize(
            pixels, SizeDict(height=s.divisor, width=s.divisor), FILTERS.index(s.resample), size_divisor=s.divisor
        ),
    ),
    PadToSquare: Row(
        st.builds(PadToSquare),
        lambda s, pixels: PLAIN.pad([pixels], SizeDict(height=max(pixels.shape[1:]), width=max(pixels.shape[1:])))[0],
    ),
    ResizeNear: Row(
        st.builds(ResizeNear, _edges, _edges, _filters, st.integers(1, 40), st.booleans()),
        lambda s, pixels: DPTImageProcessorPil().resize(
            pixels,
            SizeDict(height=s.height, width=s.width),
            FILTERS.index(s.resample),
            ensure_multiple_of=s.multiple,
            keep_aspect_ratio=s.proportional,
        ),
    ),
    CenterCrop: Row(
        st.builds(CenterCrop, _edges, _edges),
        lambda s, pixels: PLAIN.center_crop(pixels, SizeDict(height=s.height, width=s.width)),
    ),
    PadToMiddle: Row(
        st.builds(PadToMiddle, st.integers(1, 900), st.integers(1, 900)),
        lambda s, pixels: DonutImageProcessorPil().pad_image(pixels, SizeDict(height=s.height, width=s.width)),
    ),
    TurnToLie: Row(
        st.builds(TurnToLie, _edges, _edges),
        lambda s, pixels: DonutImageProcessorPil().align_long_axis(pixels, SizeDict(height=s.height, width=s.width)),
    ),
    ShrinkInto: Row(
        st.builds(ShrinkInto, _edges, _edges, st.sampled_from(FILTERS[1:])),
        lambda s, pixels: DonutImageProcessorPil().thumbnail(
            pixels, SizeDict(height=s.height, width=s.width), FILTERS.index(s.resample)
        ),
    ),
    CropShare: Row(
        st.builds(lambda a, b, c, d: CropShare(a / c, b / d), _edges, _edges, _edges, _edges),
        lambda s, pixels: PerceiverImageProcessorPil().center_crop(
            pixels, size=SizeDict(height=s.height, width=s.width), crop_size=SizeDict(height=1, width=1)
        ),
    ),
}


_divisors = st.integers(1, 64)

#: What pads numbers after the steps.
PADS: Mapping[type[Any], Row] = {
    PadToSize: Row(
        st.builds(PadToSize, st.integers(1, 900), st.integers(1, 900)),
        lambda pad, pixels: PLAIN.pad([pixels], SizeDict(height=pad.height, width=pad.width))[0],
    ),
    PadToMultiple: Row(
        st.builds(PadToMultiple, _divisors),
        lambda pad, pixels: PLAIN.pad(
            [pixels], SizeDict(**{name: -(-edge // pad.divisor) * pad.divisor for name, edge in _sides(pixels)})
        )[0],
    ),
    PadAround: Row(
        st.builds(PadAround, _divisors), lambda pad, pixels: DPTImageProcessorPil().pad_image(pixels, pad.divisor)
    ),
    PadMirrored: Row(
        st.builds(PadMirrored, _divisors), lambda pad, pixels: Swin2SRImageProcessorPil().pad(pixels, None, pad.divisor)
    ),
}


def _sides(pixels: Pixels) -> list[tuple[str, int]]:
    return list(zip(("height", "width"), pixels.shape[1:], strict=True))


def test_every_step_has_a_row() -> None:
    assert set(ROWS) == set(get_args(PictureStep))
    assert set(PADS) == set(get_args(PicturePad))
    assert set(FILTERS) == set(get_args(Resample))


@st.composite
def shapes(draw: st.DrawFn) -> tuple[int, int]:
    """(height, width): any aspect that 4,000 pixels an edge allow, and not too many pixels in all."""
    height = draw(st.integers(1, EDGE) | st.integers(1, int(sqrt(_MOST_PIXELS))))
    return height, draw(st.integers(1, min(EDGE, _MOST_PIXELS // height)))


def picture(seed: int, shape: tuple[int, int], mode: str = "RGB") -> Image.Image:
    """Noise in one of Pillow's modes."""
    generator = np.random.default_rng(seed)
    if mode in ("I;16", "F"):
        values = generator.integers(0, 2**16, shape).astype(np.uint16)
        return Image.fromarray(values if mode == "I;16" else values.astype(np.float32))
    image = Image.fromarray(generator.integers(0, 256, (*shape, 4), dtype=np.uint8))
    if mode in ("1", "P", "PA", "LA"):
        return image.convert("L").convert(mode)
    return image if mode == "RGBA" else image.convert("RGB").convert(mode)


@pytest.mark.parametrize("kind", ROWS, ids=lambda kind: kind.__name__)
@settings(max_examples=15)
@given(st.data(), st.integers(0, 9), shapes())
def test_a_step_is_transformers(kind: type[Any], data: st.DataObject, seed: int, shape: tuple[int, int]) -> None:
    step, image = data.draw(ROWS[kind].steps), picture(seed, shape)
    try:
        obtained = np.asarray(_bounded(step, image))
    except InputError:
        return  # nothing would be left, or far too much; Pillow raises of the one, and the other takes minutes
    pixels = np.ascontiguousarray(np.moveaxis(np.asarray(image), -1, 0))
    assert np.array_equal(np.moveaxis(obtained, -1, 0), ROWS[kind].reference(step, pixels))


def _bounded(step: Any, image: Image.Image) -> Image.Image:
    """As `apply`, of what is soon done."""
    longest = max(image.size) / min(image.size)
    edge = max(getattr(step, name, 0) for name in ("shortest", "height", "width"))
    if edge > 1 and edge**2 * longest > 20 * _MOST_PIXELS:
        raise InputError("left to other tests")
    return apply(step, image)


@pytest.mark.parametrize("kind", PADS, ids=lambda kind: kind.__name__)
@settings(max_examples=15)
@given(st.data(), st.integers(0, 9), shapes())
def test_padding_is_transformers(kind: type[Any], data: st.DataObject, seed: int, shape: tuple[int, int]) -> None:
    pad, image = data.draw(PADS[kind].steps), picture(seed, shape)
    transform = Transform(ImageSettings(("pixel_values", PIXEL_MASK), (), PixelValues(), pad))
    pixels = np.ascontiguousarray(np.moveaxis(np.asarray(image), -1, 0))
    try:
        arrays = transform.arrays(image)
    except InputError:
        assert shape[0] > getattr(pad, "height", EDGE) or shape[1] > getattr(pad, "width", EDGE)
        return
    assert np.array_equal(arrays["pixel_values"], PADS[kind].reference(pad, pixels))
    if kind not in (PadToSize, PadToMultiple):
        return  # no model that pads otherwise takes a mask
    mask = PLAIN.pad([pixels], SizeDict(**dict(_sides(arrays["pixel_values"]))), return_mask=True)[1][0]
    assert np.array_equal(arrays[PIXEL_MASK], mask) and arrays[PIXEL_MASK].dtype == mask.dtype


MODES = ("RGB", "L", "LA", "RGBA", "P", "PA", "1", "CMYK", "YCbCr", "HSV", "I;16", "F")


@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=10)
@given(st.integers(0, 9), shapes())
def test_a_mode_is_opened_as_transformers_opens_it(mode: str, seed: int, shape: tuple[int, int]) -> None:
    image = picture(seed, shape, mode)
    if mode in ("I;16", "F"):  # transformers cuts them off, which makes them white
        with pytest.raises(InputError, match="more than 8 bits a channel"):
            open_picture(image)
        assert np.mean(np.asarray(load_image(image))) > 100
        return
    assert np.array_equal(np.asarray(open_picture(image)), np.asarray(load_image(image)))


_numbers = st.floats(-4, 4, width=32)
_rows = st.lists(_numbers, min_size=3, max_size=3)
_deviations = st.lists(st.floats(0.0625, 4, width=32), min_size=3, max_size=3)


@settings(max_examples=25)
@given(
    st.sampled_from([1 / 255, 1 / 127.5, 0.01, 1.0, None]),
    st.none() | st.tuples(_rows, _deviations),
    st.sampled_from(["plain", "twice", "offset", "reversed"]),
    shapes(),
)
def test_values_are_transformers(scale: float | None, row: Any, kind: str, shape: tuple[int, int]) -> None:
    """What pixels become: the four ways that there are, each by the class that has it."""
    image = picture(1, (min(shape[0], 300), min(shape[1], 300)))
    mean, std = row or ([0.5] * 3, [0.5] * 3)
    arguments = {
        "do_resize": False, "do_center_crop": False, "do_rescale": scale is not None, "rescale_factor": scale or 1.0,
        "do_normalize": row is not None, "image_mean": mean, "image_std": std,
    }  # fmt: skip
    normalizations = (Normalization(tuple(mean), tuple(std)),) if row else ()
    offset = 0.0
    match kind:
        case "twice":
            processor: Any = EfficientNetImageProcessorPil(**arguments, include_top=True, rescale_offset=False)
            normalizations = (*normalizations, Normalization((0.0,) * 3, tuple(std)))
        case "offset":
            processor = EfficientNetImageProcessorPil(**arguments, include_top=False, rescale_offset=True)
            offset = -1.0 if scale is not None else 0.0
        case "reversed":
            processor, normalizations = MobileViTImageProcessorPil(**arguments, do_flip_channel_order=True), ()
        case _:
            processor = ViTImageProcessorPil(**arguments)
    values = PixelValues(scale, offset, normalizations, reversed_channels=kind == "reversed")
    obtained = Transform(ImageSettings(("pixel_values",), (), values))(image)
    expected = np.asarray(processor(image, return_tensors="np", input_data_format="channels_last")["pixel_values"][0])
    assert obtained.dtype == np.float32 and obtained.shape == expected.shape
    # 1e-6 of numbers of about 1, as the files of models have it; drawn numbers may be larger.
    assert np.all(np.abs(obtained - expected) <= 1e-6 * np.maximum(1, np.abs(expected)))


@pytest.mark.parametrize(
    "dtype", ["bool", "int8", "uint16", "int32", "int64", "float16", "float32", "float64", "object"]
)
def test_arrays_that_are_not_of_bytes_are_refused(dtype: str) -> None:
    with pytest.raises(InputError, match=f"must be uint8, from 0 to 255, not {dtype}"):
        open_picture(np.ones((4, 5, 3)).astype(dtype))
