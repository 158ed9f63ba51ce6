"""The part of `onnxpress.json` that says how a picture becomes an array: a short program, carried out in order.

The steps change a picture of three 8-bit channels, red, green and blue; then its numbers are computed, and at the end
they may be padded. All of it is data; `onnxpress.image` carries it out. docs/artifact.md describes every field for
readers of other languages.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Literal

#: Red, green and blue.
CHANNELS = 3

#: The longest edge that a step may ask for, in pixels.
MAX_EDGE = 16_384

#: The filters of Pillow, by the names it has for them.
Resample = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]


@dataclass(frozen=True, slots=True)
class Resize:
    """To one size in pixels, whatever the picture's."""

    height: int
    width: int
    resample: Resample
    op: Literal["resize"] = "resize"


@dataclass(frozen=True, slots=True)
class ResizeEdge:
    """The shorter edge to `shortest` pixels, the other in proportion, rounded down. `longest`: where the other edge
    would be longer, it is made that long instead, and the shorter one is in proportion, rounded to the nearest.
    `divisor`, only beside `longest`: both edges then go down to the next multiple of it, before anything is resized."""

    shortest: int
    resample: Resample
    longest: int | None = None
    divisor: int | None = None
    op: Literal["resize-edge"] = "resize-edge"


@dataclass(frozen=True, slots=True)
class ResizeEdgeUp:
    """The shorter edge to `shortest` pixels, the other in proportion, rounded down, with `longest` as in `ResizeEdge`;
    then each edge up to the next multiple of `divisor` pixels."""

    shortest: int
    divisor: int
    resample: Resample
    longest: int | None = None
    op: Literal["resize-edge-up"] = "resize-edge-up"


@dataclass(frozen=True, slots=True)
class ResizeEdgeNearest:
    """The shorter edge to `shortest` pixels, the other in proportion; where that would be longer than `longest`, both
    are scaled down to it. Both are then rounded, halves up, and go down to the next multiple of `divisor`."""

    shortest: int
    longest: int
    divisor: int
    resample: Resample
    op: Literal["resize-edge-nearest"] = "resize-edge-nearest"


@dataclass(frozen=True, slots=True)
class ResizeWithin:
    """As large as fits into so many pixels, in proportion, rounded down."""

    height: int
    width: int
    resample: Resample
    op: Literal["resize-within"] = "resize-within"


@dataclass(frozen=True, slots=True)
class ResizeOver:
    """As small as covers so many pixels, in proportion, rounded."""

    height: int
    width: int
    resample: Resample
    op: Literal["resize-over"] = "resize-over"


@dataclass(frozen=True, slots=True)
class ResizeLongest:
    """The longer edge to `longest` pixels, the other in proportion; both are rounded, halves up."""

    longest: int
    resample: Resample
    op: Literal["resize-longest"] = "resize-longest"


@dataclass(frozen=True, slots=True)
class ResizeToPatches:
    """To multiples of `patch` pixels, both edges scaled alike and rounded up, as large as makes `most` patches or
    fewer."""

    patch: int
    most: int
    resample: Resample
    op: Literal["resize-to-patches"] = "resize-to-patches"


@dataclass(frozen=True, slots=True)
class ResizeToMultiple:
    """Each edge down to the next multiple of `divisor` pixels."""

    divisor: int
    resample: Resample
    op: Literal["resize-to-multiple"] = "resize-to-multiple"


@dataclass(frozen=True, slots=True)
class ResizeNear:
    """Near to one size in pixels: both edges are scaled alike, as that edge is whose length changes by the smaller
    share; then each goes to the nearest multiple of `multiple`, of two as near to the even one. `proportional` false:
    each edge is scaled for itself."""

    height: int
    width: int
    resample: Resample
    multiple: int = 1
    proportional: bool = True
    op: Literal["resize-near"] = "resize-near"


@dataclass(frozen=True, slots=True)
class CenterCrop:
    """So many pixels from the middle, half a pixel left of and above it where they cannot lie in it. A picture that is
    smaller is set into a black one, half a pixel right of and below its middle. `even`, as torchvision does it: of two
    places as near to the middle it is that of the even number, and a smaller picture is set left of and above it."""

    height: int
    width: int
    even: bool = False
    op: Literal["center-crop"] = "center-crop"


@dataclass(frozen=True, slots=True)
class CropShare:
    """From the middle, these shares of the shorter edge, rounded down. Of what is smaller, as `CenterCrop`."""

    height: float
    width: float
    op: Literal["crop-share"] = "crop-share"


@dataclass(frozen=True, slots=True)
class PadToSquare:
    """To a square, with black below or on the right."""

    op: Literal["pad-to-square"] = "pad-to-square"


@dataclass(frozen=True, slots=True)
class TurnToLie:
    """A quarter turned clockwise where the longer edge is not that which is the longer one of so many pixels."""

    height: int
    width: int
    op: Literal["turn-to-lie"] = "turn-to-lie"


@dataclass(frozen=True, slots=True)
class ShrinkInto:
    """Made smaller where an edge is longer than asked: to the longer edge's limit, the other in proportion, rounded
    down; a square each edge to its own limit."""

    height: int
    width: int
    resample: Resample
    op: Literal["shrink-into"] = "shrink-into"


@dataclass(frozen=True, slots=True)
class PadToMiddle:
    """To one size in pixels, with black on all sides, one pixel more below or on the right where there cannot be as
    many on each; a larger picture is refused."""

    height: int
    width: int
    op: Literal["pad-to-middle"] = "pad-to-middle"


PictureStep = (
    PadToSquare
    | PadToMiddle
    | TurnToLie
    | ShrinkInto
    | Resize
    | ResizeEdge
    | ResizeEdgeUp
    | ResizeEdgeNearest
    | ResizeWithin
    | ResizeOver
    | ResizeLongest
    | ResizeToMultiple
    | ResizeToPatches
    | ResizeNear
    | CenterCrop
    | CropShare
)


@dataclass(frozen=True, slots=True)
class Normalization:
    """`(value - mean) / std`, in float32, for each channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class PixelValues:
    """What a channel's 8-bit number becomes. `scale`: it is multiplied by this in float64, and the product is rounded
    to float32; None: it is not. Then `offset` is added, and each normalization follows, in float32.
    `reversed_channels`: blue, green and red, with the normalizations in the order of the channels before."""

    scale: float | None = None
    offset: float = 0.0
    normalizations: tuple[Normalization, ...] = ()
    reversed_channels: bool = False


@dataclass(frozen=True, slots=True)
class PadToSize:
    """The numbers to one size in pixels, with zeros below and on the right; a larger picture is refused."""

    height: int
    width: int
    op: Literal["pad-to-size"] = "pad-to-size"


@dataclass(frozen=True, slots=True)
class PadToMultiple:
    """Each edge of the numbers up to the next multiple of `divisor` pixels, with zeros below and on the right."""

    divisor: int
    op: Literal["pad-to-multiple"] = "pad-to-multiple"


@dataclass(frozen=True, slots=True)
class PadAround:
    """Each edge of the numbers up to the next multiple of `divisor` pixels, with zeros on both sides; where they cannot
    be as many on each, one more below or on the right."""

    divisor: int
    op: Literal["pad-around"] = "pad-around"


@dataclass(frozen=True, slots=True)
class PadMirrored:
    """Each edge of the numbers up to a multiple of `divisor` pixels that is larger than it, with what is on the other
    side of the lower and the right edge, as if they were mirrors: the last row first."""

    divisor: int
    op: Literal["pad-mirrored"] = "pad-mirrored"


PicturePad = PadToSize | PadToMultiple | PadAround | PadMirrored


@dataclass(frozen=True, slots=True)
class SmoothResize:
    """The scaled numbers, before they are normalized, to one size in pixels: smoothed along each edge that gets
    shorter, then interpolated linearly, and kept within the least and the largest number that the picture had."""

    height: int
    width: int
    op: Literal["smooth-resize"] = "smooth-resize"


@dataclass(frozen=True, slots=True)
class Patches:
    """The numbers as rows, one for each patch of `patch` pixels squared, row by row of patches: float32 (most, patch *
    patch * 3), in each patch row by row of pixels, their channels side by side; after the last come zeros."""

    patch: int
    most: int
    op: Literal["patches"] = "patches"


#: The graph's inputs, by name, that say which rows are patches: int64 (most,), 1 there, 0 elsewhere; and how many
#: patches high and wide the picture is: int64 (2,).
PATCH_MASK, PATCH_GRID = "pixel_attention_mask", "spatial_shapes"

#: The graph's input, by name, that says which pixels are a picture's own: int64 (height, width), 1 there, 0 elsewhere.
PIXEL_MASK = "pixel_mask"


@dataclass(frozen=True, slots=True)
class ImageSettings:
    """How a picture becomes float32 (channels, height, width), the graph's input `input_names[0]`. With PIXEL_MASK
    among the names, the graph is told which pixels are padding. `smooth`: how its numbers are resized, of a processor
    that resizes no 8-bit pixels. `patches`: the numbers then become rows of patches, and PATCH_MASK and PATCH_GRID are
    inputs, too."""

    input_names: tuple[str, ...]
    steps: tuple[PictureStep, ...] = ()
    values: PixelValues = PixelValues()
    pad: PicturePad | None = None
    smooth: SmoothResize | None = None
    patches: Patches | None = None


def faults_of(settings: ImageSettings) -> Iterator[tuple[str, str]]:
    """The fields that contradict others or cannot be carried out, each with what is wrong with it."""
    if not settings.input_names:
        yield "input_names", "there is none"
    operations: dict[str, PictureStep | PicturePad | SmoothResize | Patches] = {
        f"steps[{place}]": step for place, step in enumerate(settings.steps)
    }
    if settings.pad is not None:
        operations["pad"] = settings.pad
    if settings.smooth is not None:
        operations["smooth"] = settings.smooth
    if settings.patches is not None:
        operations["patches"] = settings.patches
    for name, operation in operations.items():
        sizes = [getattr(operation, field.name) for field in fields(operation)]
        if any(type(size) is int and not 1 <= size <= MAX_EDGE for size in sizes):
            yield name, f"not a size from 1 to {MAX_EDGE} pixels"
        if isinstance(operation, ResizeEdge) and operation.divisor is not None and operation.longest is None:
            yield f"{name}.divisor", "without longest"
    for place, normalization in enumerate(settings.values.normalizations):
        row = f"values.normalizations[{place}]"
        if len(normalization.mean) != CHANNELS or len(normalization.std) != CHANNELS:
            yield row, f"not {CHANNELS} numbers each"
        if 0 in normalization.std:
            yield f"{row}.std", "zero"
