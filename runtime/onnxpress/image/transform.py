"""Carries out the program of a manifest: a picture in, float32 numbers out, equal to transformers' own processors'.

Resizing is Pillow's, as it is theirs. What follows is theirs in value and not in form: each of the 256 numbers that a
channel may have is computed once, and looked up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import ceil, floor
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.errors import InputError
from onnxpress.format import picture_sizes as sizes
from onnxpress.format.pictures import (
    CHANNELS,
    PATCH_GRID,
    PATCH_MASK,
    PIXEL_MASK,
    CenterCrop,
    CropShare,
    ImageSettings,
    Normalization,
    PadAround,
    PadMirrored,
    PadToMiddle,
    PadToSize,
    PadToSquare,
    Patches,
    PicturePad,
    PictureStep,
    PixelValues,
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
from onnxpress.image.opening import MAX_PIXELS
from onnxpress.image.smoothing import smooth_resize

if TYPE_CHECKING:
    from PIL.Image import Image

    from onnxpress.format.picture_sizes import Pixels

#: What each step makes of a size.
_SIZES: Mapping[type[Any], Callable[[Any, Pixels], Pixels]] = {
    Resize: lambda step, size: (step.height, step.width),
    ResizeEdge: lambda step, size: _by_edges(step, size),
    ResizeEdgeUp: lambda step, size: sizes.up_to_multiple(
        _by_edges(ResizeEdge(step.shortest, step.resample, step.longest), size), step.divisor
    ),
    ResizeEdgeNearest: lambda step, size: sizes.nearest_by_edges(size, step.shortest, step.longest, step.divisor),
    ResizeWithin: lambda step, size: sizes.within(size, (step.height, step.width)),
    ResizeOver: lambda step, size: sizes.over(size, (step.height, step.width)),
    ResizeLongest: lambda step, size: sizes.longest_edge(size, step.longest),
    ResizeToMultiple: lambda step, size: sizes.down_to_multiple(size, step.divisor),
    ResizeToPatches: lambda step, size: sizes.to_patches(size, step.patch, step.most),
    ResizeNear: lambda step, size: sizes.near(
        size, (step.height, step.width), step.multiple, proportional=step.proportional
    ),
    CenterCrop: lambda step, size: (step.height, step.width),
    PadToSquare: lambda step, size: (max(size), max(size)),
    PadToMiddle: lambda step, size: padded_size(PadToSize(step.height, step.width), size),
    TurnToLie: lambda step, size: size[::-1] if sizes.lies_across(size, (step.height, step.width)) else size,
    ShrinkInto: lambda step, size: sizes.shrunk(size, (step.height, step.width)),
    CropShare: lambda step, size: sizes.share_of_shorter(size, (step.height, step.width)),
}

#: The numbers that a channel may have.
_LEVELS = np.arange(256, dtype=np.uint8)


def _by_edges(step: ResizeEdge, size: Pixels) -> Pixels:
    if step.longest is None:
        return sizes.shortest_edge(size, step.shortest)
    if step.divisor is None:
        return sizes.shortest_and_longest_edge(size, step.shortest, step.longest)
    return sizes.multiples_by_edges(size, step.shortest, step.longest, step.divisor)


class Transform:
    """The program of a manifest, ready to be carried out."""

    def __init__(self, settings: ImageSettings) -> None:
        self._names = settings.input_names
        self._steps = settings.steps
        self._pad = settings.pad
        self._smooth = settings.smooth
        self._patches = settings.patches
        self._normalizations = settings.values.normalizations if settings.smooth is not None else ()
        self._table = value_table(replace(settings.values, normalizations=()) if self._smooth else settings.values)
        self._channels = range(CHANNELS)[:: -1 if settings.values.reversed_channels else 1]

    def arrays(self, image: Image) -> dict[str, NDArray[Any]]:
        """What the graph takes of a picture in mode "RGB", without the axis of the batch, as the settings name it.

        Raises:
            InputError: its shape makes a step ask for no pixels, or for too many, or it is larger than the padding.
        """
        values, (height, width) = self._numbers(image)
        if self._patches is not None:
            return {self._names[0]: rows_of_patches(values, self._patches), **grid_of((height, width), self._patches)}
        arrays: dict[str, NDArray[Any]] = {self._names[0]: values}
        if PIXEL_MASK in self._names:
            arrays[PIXEL_MASK] = mask = np.zeros(values.shape[1:], dtype=np.int64)
            mask[:height, :width] = 1
        return arrays

    def __call__(self, image: Image) -> NDArray[np.float32]:
        """The first of them: float32 (3, height, width), or rows of patches."""
        values = self._numbers(image)[0]
        return values if self._patches is None else rows_of_patches(values, self._patches)

    def _numbers(self, image: Image) -> tuple[NDArray[np.float32], Pixels]:
        """float32 (3, height, width), padding included, and the size without it."""
        for step in self._steps:
            image = apply(step, image)
        before = (image.height, image.width)
        size = before if self._pad is None else padded_size(self._pad, before)
        missing = (size[0] - before[0], size[1] - before[1])
        mirrored = isinstance(self._pad, PadMirrored)
        top, left = (missing[0] // 2, missing[1] // 2) if isinstance(self._pad, PadAround) else (0, 0)
        height, width = size if mirrored else before
        padded = (np.empty if size == (height, width) else np.zeros)((CHANNELS, *size), dtype=np.float32)
        # Pillow takes the channels apart several times as fast as numpy reads every third number.
        bands = image.split()
        for target, channel in zip(padded[:, top : top + height, left : left + width], self._channels, strict=True):
            pixels = np.asarray(bands[channel])
            if mirrored:
                pixels = np.pad(pixels, ((0, missing[0]), (0, missing[1])), mode="symmetric")
            # "clip" lets numpy write into the target without a copy; no index is out of range.
            np.take(self._table[channel], pixels, out=target, mode="clip")
        if self._smooth is None:
            return padded, before
        size = (self._smooth.height, self._smooth.width)
        return normalized(smooth_resize(padded, size), self._normalizations), size


def rows_of_patches(values: NDArray[np.float32], patches: Patches) -> NDArray[np.float32]:
    """float32 (3, height, width), of whole patches -> (most, patch * patch * 3).

    Raises:
        InputError: there are more patches.
    """
    side = patches.patch
    high, wide = values.shape[1] // side, values.shape[2] // side
    if high * wide > patches.most:
        raise InputError(
            f"A picture would become {wide}x{high} patches for this model, which takes {patches.most} at most: cut it "
            "to a less extreme shape."
        )
    rows = np.zeros((patches.most, side * side * CHANNELS), dtype=np.float32)
    grid = rows[: high * wide].reshape(high, wide, side, side, CHANNELS)
    grid[...] = values.reshape(CHANNELS, high, side, wide, side).transpose(1, 3, 2, 4, 0)
    return rows


def grid_of(size: Pixels, patches: Patches) -> dict[str, NDArray[np.int64]]:
    """Which rows are patches, and how many of them the picture is high and wide."""
    grid = np.array(size, dtype=np.int64) // patches.patch
    mask = np.arange(patches.most) < grid.prod()
    return {PATCH_MASK: mask.astype(np.int64), PATCH_GRID: grid}


def value_table(values: PixelValues) -> NDArray[np.float32]:
    """float32 (3, 256): what each channel's numbers become, computed as transformers computes them
    (`transformers.image_transforms.rescale`, `normalize`)."""
    row = (_LEVELS if values.scale is None else _LEVELS.astype(np.float64) * values.scale).astype(np.float32)
    return normalized(np.tile(row + np.float32(values.offset), (CHANNELS, 1)), values.normalizations)


def normalized(numbers: NDArray[np.float32], normalizations: Sequence[Normalization]) -> NDArray[np.float32]:
    """float32 (channels, ...): each channel less its mean, divided by its deviation, one time after the other."""
    for normalization in normalizations:
        mean, std = (
            np.array(row, np.float32).reshape(CHANNELS, *[1] * (numbers.ndim - 1))
            for row in (normalization.mean, normalization.std)
        )
        numbers = (numbers - mean) / std
    return numbers


def apply(step: PictureStep, image: Image) -> Image:
    """One step.

    Raises:
        InputError: the step would leave no pixels, or too many.
    """
    size = (image.height, image.width)
    height, width = _SIZES[type(step)](step, size)
    if height < 1 or width < 1 or height * width > MAX_PIXELS:
        raise InputError(
            f"A picture of {size[1]}x{size[0]} pixels would become {width}x{height} for this model, which is "
            f"{'nothing' if height * width < 1 else f'more than {MAX_PIXELS} pixels'}: cut it to a less extreme shape."
        )
    if isinstance(step, (CenterCrop, CropShare)):
        return _cropped(image, (height, width), even=isinstance(step, CenterCrop) and step.even)
    if isinstance(step, PadToSquare):
        return _canvas(image, (height, width), (0, 0))
    if isinstance(step, PadToMiddle):
        return _canvas(image, (height, width), ((height - size[0]) // 2, (width - size[1]) // 2))
    if isinstance(step, TurnToLie):
        return image if (height, width) == size else _turned(image)
    return image.resize((width, height), resample=_filter(step.resample))


def _filter(name: str) -> Any:
    from PIL.Image import Resampling

    return Resampling[name.upper()]


def _cropped(image: Image, size: Pixels, *, even: bool) -> Image:
    """As `transformers.image_transforms.center_crop`, or, where `even` says so, as torchvision's."""
    before, crop_height, crop_width = (image.height, image.width), size[0], size[1]
    full = (max(before[0], crop_height), max(before[1], crop_width))
    if full != before:
        down = floor if even else ceil
        image = _canvas(image, full, (down((full[0] - before[0]) / 2), down((full[1] - before[1]) / 2)))
    top, left = (round((a - b) / 2) if even else (a - b) // 2 for a, b in zip(full, size, strict=True))
    return image.crop((left, top, left + crop_width, top + crop_height))


def _turned(image: Image) -> Image:
    """A quarter clockwise."""
    from PIL.Image import Transpose

    return image.transpose(Transpose.ROTATE_270)


def _canvas(image: Image, size: Pixels, place: Pixels) -> Image:
    """A black picture of this size with another in it, so many pixels from its top and its left."""
    from PIL.Image import new

    canvas = new("RGB", size[::-1])
    canvas.paste(image, place[::-1])
    return canvas


def padded_size(pad: PicturePad, size: Pixels) -> Pixels:
    """The size of a picture of this size with its padding.

    Raises:
        InputError: it is larger than all pictures are padded to, or would be too large.
    """
    if not isinstance(pad, PadToSize):
        more = 1 if isinstance(pad, PadMirrored) else 0
        height, width = sizes.up_to_multiple((size[0] + more, size[1] + more), pad.divisor)
        if height * width > MAX_PIXELS:
            raise InputError(
                f"A picture of {size[1]}x{size[0]} pixels would be padded to {width}x{height} for this model, which is "
                f"more than {MAX_PIXELS} pixels: cut it to a less extreme shape."
            )
        return height, width
    if size[0] > pad.height or size[1] > pad.width:
        raise InputError(
            f"A picture of {size[1]}x{size[0]} pixels is larger than the {pad.width}x{pad.height} that this model "
            "takes: make it smaller."
        )
    return pad.height, pad.width


def output_size(settings: ImageSettings) -> Pixels | None:
    """The size of what every picture becomes; None: it depends on the picture."""
    if settings.smooth is not None:
        return settings.smooth.height, settings.smooth.width
    if isinstance(settings.pad, PadToSize):
        return settings.pad.height, settings.pad.width
    last = settings.steps[-1] if settings.steps else None
    if not isinstance(last, (Resize, CenterCrop, PadToMiddle)):
        return None
    size = last.height, last.width
    return size if settings.pad is None else padded_size(settings.pad, size)
