"""Reads the values of an image processor as a program of the manifest.

A class of transformers that computes as its base class does is read by its values; one that overrides some methods has
a row in READERS. The values are attributes: of the class itself, where transformers is installed, or of what `values`
makes of a file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import floor
from typing import Any

import numpy as np

from onnxpress.errors import UnsupportedFormat
from onnxpress.format.picture_sizes import near, up_to_multiple
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
    SmoothResize,
    TurnToLie,
)

#: What transformers calls the numbers of a picture.
PIXELS = "pixel_values"

#: What `get_size_with_aspect_ratio_yolos` rounds to: an argument that nobody changes.
_YOLOS_MULTIPLE = 16

#: The longer edge over the shorter one, at most (`MAX_LONGER_EDGE / MAX_SHORTER_EDGE` of ViLT's module).
_VILT_SHAPE = 1333 / 800

#: Pillow's filters, by the numbers that files have for them.
_FILTERS: Mapping[int, Resample] = {
    0: "nearest",
    1: "lanczos",
    2: "bilinear",
    3: "bicubic",
    4: "box",
    5: "hamming",
}

Attributes = Any


def read_values(name: str, processor: Attributes) -> ImageSettings:
    """The program of the values of a class, by its name without "Pil".

    Raises:
        UnsupportedFormat: it cannot compute with such values, or no step of the manifest can.
    """
    return READERS.get(name, _read_plainly)(processor)


def class_name(processor: Attributes) -> str:
    """The name of the class that the values are of."""
    return str(getattr(processor, "class_name", "") or type(processor).__name__.removesuffix("Pil"))


def program(steps: Sequence[PictureStep], values: PixelValues, pad: PicturePad | None = None) -> ImageSettings:
    """What a class makes that gives `pixel_values` alone."""
    return ImageSettings((PIXELS,), tuple(steps), values, pad)


def _read_plainly(processor: Attributes) -> ImageSettings:
    """As `PilBackend._preprocess`: resized, cropped, rescaled, normalized, padded to a size."""
    steps: list[PictureStep] = []
    if processor.do_resize:
        steps.append(_resize(processor, processor.size))
    return program([*steps, *_crop(processor)], _values(processor), _pad(processor))


def _pad(processor: Attributes) -> PicturePad | None:
    """As `PilBackend.pad`: to a size, or to the largest picture of a batch, which a picture alone is itself."""
    size = getattr(processor, "pad_size", None)
    if not getattr(processor, "do_pad", None) or size is None:
        return None
    return PadToSize(size.height, size.width)


def _resize(processor: Attributes, size: Any) -> PictureStep:
    """As `PilBackend.resize` reads a size."""
    resample = resample_of(processor)
    if size.shortest_edge:
        return ResizeEdge(size.shortest_edge, resample, size.longest_edge or None)
    if size.max_height and size.max_width:
        return ResizeWithin(size.max_height, size.max_width, resample)
    if size.height and size.width:
        return Resize(size.height, size.width, resample)
    raise UnsupportedFormat(f"{class_name(processor)}: size {size} is none that its class can resize to.")


def resample_of(processor: Attributes) -> Resample:
    """The filter's name. Raises UnsupportedFormat if Pillow has no such filter."""
    value = processor.resample
    # Bilinear, as `PilBackend.resize` takes none.
    number: Any = 2 if value is None else value if isinstance(value, int) else getattr(value, "value", None)
    if (name := _FILTERS.get(number)) is None:
        raise UnsupportedFormat(f"{class_name(processor)}: resample {value!r} is no filter of Pillow.")
    return name


def _crop(processor: Attributes) -> list[PictureStep]:
    if not getattr(processor, "do_center_crop", None):
        return []
    return [CenterCrop(processor.crop_size.height, processor.crop_size.width)]


def _values(processor: Attributes, **changes: Any) -> PixelValues:
    normalizations: tuple[Normalization, ...] = ()
    if processor.do_normalize and "normalizations" not in changes:
        normalizations = (Normalization(_row(processor.image_mean), _row(processor.image_std)),)
    scale = float(processor.rescale_factor) if processor.do_rescale else None
    return PixelValues(**{"scale": scale, "normalizations": normalizations, **changes})


def _row(value: Any) -> tuple[float, ...]:
    """A number for each channel."""
    numbers = list(value) if isinstance(value, (list, tuple, np.ndarray)) else [value] * 3
    return tuple(float(number) for number in numbers)


def _read_convnext(processor: Attributes) -> ImageSettings:
    """Below 384 pixels a picture is resized to more than its size and cropped; from there on it is warped."""
    edge = processor.size.shortest_edge
    if not edge:
        raise UnsupportedFormat(f"{class_name(processor)}: size {processor.size} has no shortest_edge.")
    resample = resample_of(processor)
    steps: list[PictureStep] = [Resize(edge, edge, resample)]
    if edge < 384:
        steps = [ResizeEdge(int(edge / processor.crop_pct), resample), CenterCrop(edge, edge)]
    return program([*(steps if processor.do_resize else []), *_crop(processor)], _values(processor))


def _read_poolformer(processor: Attributes) -> ImageSettings:
    size, share = processor.size, processor.crop_pct
    if not processor.do_resize or share is None:
        return _read_plainly(processor)
    resample = resample_of(processor)
    step: PictureStep
    if size.shortest_edge or size.height == size.width:
        step = ResizeEdge(int((size.shortest_edge or size.height) / share), resample)
    else:
        step = Resize(int(size.height / share), int(size.width / share), resample)
    return program([step, *_crop(processor)], _values(processor))


def _read_levit(processor: Attributes) -> ImageSettings:
    if not processor.do_resize or not processor.size.shortest_edge:
        return _read_plainly(processor)
    step = ResizeEdge(int(256 / 224 * processor.size.shortest_edge), resample_of(processor))
    return program([step, *_crop(processor)], _values(processor))


def _read_efficientnet(processor: Attributes) -> ImageSettings:
    """Where the classifier is included, it divides by the deviation once more."""
    plain = _read_plainly(processor)
    normalizations = plain.values.normalizations
    if processor.include_top:
        normalizations = (*normalizations, Normalization((0.0,) * 3, _row(processor.image_std)))
    offset = -1.0 if processor.do_rescale and processor.rescale_offset else 0.0
    return replace(plain, values=PixelValues(plain.values.scale, offset, normalizations))


def _read_mobilevit(processor: Attributes) -> ImageSettings:
    """Never normalized, whatever its file says; blue comes first."""
    values = _values(processor, normalizations=(), reversed_channels=bool(processor.do_flip_channel_order))
    return replace(_read_plainly(processor), values=values)


def _read_segformer(processor: Attributes) -> ImageSettings:
    """Never cropped, whatever its file says."""
    return program([_resize(processor, processor.size)] if processor.do_resize else [], _values(processor))


def _read_glpn(processor: Attributes) -> ImageSettings:
    step = ResizeToMultiple(processor.size_divisor, resample_of(processor))
    return program([step] if processor.do_resize else [], _values(processor))


def _read_detr(processor: Attributes) -> ImageSettings:
    """The shorter edge has a limit for the longer one; where it pads, it makes a mask."""
    if processor.do_resize and processor.size.shortest_edge and not processor.size.longest_edge:
        raise UnsupportedFormat(f"{class_name(processor)}: size {processor.size} is none that its class can resize to.")
    plain = _read_plainly(processor)
    return replace(plain, input_names=(PIXELS, PIXEL_MASK)) if processor.do_pad else plain


def _read_vilt(processor: Attributes) -> ImageSettings:
    """The longer edge's limit follows from the shorter one; where it pads, it makes a mask."""
    edge, steps = processor.size.shortest_edge, []
    if processor.do_resize:
        if not edge:
            raise UnsupportedFormat(f"{class_name(processor)}: size {processor.size} has no shortest_edge.")
        steps = [ResizeEdgeNearest(edge, int(_VILT_SHAPE * edge), processor.size_divisor, resample_of(processor))]
    plain = program(steps, _values(processor))
    return replace(plain, input_names=(PIXELS, PIXEL_MASK)) if processor.do_pad else plain


def _read_yolos(processor: Attributes) -> ImageSettings:
    """As DETR's, and both edges become multiples of 16."""
    plain = _read_detr(processor)
    steps = [replace(step, divisor=_YOLOS_MULTIPLE) if isinstance(step, ResizeEdge) else step for step in plain.steps]
    return replace(plain, steps=tuple(steps))


def _read_maskformer(processor: Attributes) -> ImageSettings:
    """Both edges go up to a multiple of `size_divisor`. Its models do not look at the mask that it makes."""
    steps: list[PictureStep] = []
    divisor = processor.size_divisor or 1
    if processor.do_resize:
        step: PictureStep = _resize(processor, processor.size)
        if isinstance(step, Resize):
            height, width = up_to_multiple((step.height, step.width), divisor)
            step = replace(step, height=height, width=width)
        elif isinstance(step, ResizeEdge) and step.longest is not None:
            step = ResizeEdgeUp(step.shortest, divisor, step.resample, step.longest)
        else:
            raise UnsupportedFormat(f"{class_name(processor)}: size {processor.size} is not read.")
        steps.append(step)
    size = processor.pad_size
    return program(steps, _values(processor), PadToSize(size.height, size.width) if size else None)


def _read_dpt(processor: Attributes) -> ImageSettings:
    """Scaled as little as possible, to multiples of `ensure_multiple_of`; padded on all sides."""
    steps: list[PictureStep] = []
    size, resample = processor.size, resample_of(processor)
    if processor.do_resize:
        if not size.height or not size.width:
            raise UnsupportedFormat(f"{class_name(processor)}: size {size} has no height and width.")
        step = ResizeNear(
            size.height, size.width, resample, processor.ensure_multiple_of or 1, bool(processor.keep_aspect_ratio)
        )
        # Where each edge is scaled for itself, every picture becomes of one size, unless an edge lies in the middle
        # between two multiples: then rounding decides, picture by picture.
        wanted = (size.height, size.width)
        rounds = any(2 * (edge % step.multiple) == step.multiple for edge in wanted)
        fixed = near(wanted, wanted, step.multiple, proportional=False)
        steps.append(step if step.proportional or rounds else Resize(*fixed, resample))
    divisor = getattr(processor, "size_divisor", None)
    return program(steps, _values(processor), PadAround(divisor) if processor.do_pad and divisor else None)


def _read_swin2sr(processor: Attributes) -> ImageSettings:
    """Rescaled and padded, and nothing else, whatever its file says."""
    pad = PadMirrored(processor.size_divisor) if processor.do_pad else None
    return program([], _values(processor, normalizations=()), pad)


def _read_perceiver(processor: Attributes) -> ImageSettings:
    """Cropped before it is resized, to a share of its shorter edge."""
    size, crop = processor.size, processor.crop_size
    steps: list[PictureStep] = []
    if processor.do_center_crop:
        steps.append(CropShare(size.height / crop.height, size.width / crop.width))
    if processor.do_resize:
        steps.append(_resize(processor, size))
    return program(steps, _values(processor))


def _read_textnet(processor: Attributes) -> ImageSettings:
    """Each edge goes up to a multiple."""
    edge, steps = processor.size.shortest_edge, list[PictureStep]()
    if processor.do_resize:
        if not edge:
            raise UnsupportedFormat(f"{class_name(processor)}: size {processor.size} has no shortest_edge.")
        steps.append(ResizeEdgeUp(edge, processor.size_divisor, resample_of(processor)))
    return program([*steps, *_crop(processor)], _values(processor))


def _read_donut(processor: Attributes) -> ImageSettings:
    """Turned to lie as its size does, then as large as fits, in the middle of black. Each step can be left out."""
    size, resample = processor.size, resample_of(processor)
    if not size.height or not size.width:
        raise UnsupportedFormat(f"{class_name(processor)}: size {size} has no height and width.")
    height, width = size.height, size.width
    # `thumbnail` takes "nearest" and none, which it cannot tell apart, for its own.
    steps: Mapping[str, PictureStep] = {
        "do_align_long_axis": TurnToLie(height, width),
        "do_resize": ResizeEdge(min(height, width), resample),
        "do_thumbnail": ShrinkInto(height, width, resample if processor.resample else "bicubic"),
        "do_pad": PadToMiddle(height, width),
    }
    chosen = [step for name, step in steps.items() if getattr(processor, name)]
    return program([*chosen, *_crop(processor)], _values(processor))


def _read_sam(processor: Attributes) -> ImageSettings:
    """The longer edge to its size, then padded to one size."""
    if not processor.size.longest_edge:
        raise UnsupportedFormat(f"{class_name(processor)}: size {processor.size} has no longest_edge.")
    step = ResizeLongest(processor.size.longest_edge, resample_of(processor))
    steps = [step] if processor.do_resize else []
    return program([*steps, *_crop(processor)], _values(processor), _pad(processor))


def _read_owlv2(processor: Attributes) -> ImageSettings:
    """Scaled, set into a square, resized as numbers, normalized."""
    size = processor.size
    smooth = SmoothResize(size.height, size.width) if processor.do_resize else None
    settings = program([PadToSquare()] if processor.do_pad else [], _values(processor))
    return replace(settings, smooth=smooth)


def _read_siglip2(processor: Attributes) -> ImageSettings:
    """Patches of a grid as large as may be."""
    side, most = processor.patch_size, processor.max_num_patches
    steps = [ResizeToPatches(side, most, resample_of(processor))] if processor.do_resize else []
    settings = program(steps, _values(processor))
    return replace(settings, input_names=(PIXELS, PATCH_MASK, PATCH_GRID), patches=Patches(side, most))


def _read_timm(processor: Attributes) -> ImageSettings:
    """As `timm.data.transforms_factory.transforms_imagenet_eval` does by its `data_config`: resized so that the share
    `crop_pct` of it is what is cropped from the middle, or, squashed, both edges for themselves."""
    data, name = processor.data_config, class_name(processor)
    channels, *size = data["input_size"]
    tall, wide = size
    mode, filter_name = data["crop_mode"], data["interpolation"]
    if channels != CHANNELS:
        raise UnsupportedFormat(f"{name}: its model takes {channels} channels, and pictures here have {CHANNELS}.")
    if filter_name not in _FILTERS.values():
        raise UnsupportedFormat(f"{name}: interpolation {filter_name!r:.60} is no filter of Pillow.")
    if mode not in ("center", "squash"):
        raise UnsupportedFormat(f"{name}: crop_mode {mode!r:.60} is not read by this version.")
    height, width = (floor(edge / data["crop_pct"]) for edge in size)
    step: PictureStep = ResizeOver(height, width, filter_name)
    if mode == "squash":
        step = Resize(height, width, filter_name)
    elif height == width:
        step = ResizeEdge(height, filter_name)
    crop = [] if isinstance(step, Resize) and [height, width] == size else [CenterCrop(tall, wide, even=True)]
    normalization = Normalization(_row(data["mean"]), _row(data["std"]))
    return program([step, *crop], PixelValues(1 / 255, 0.0, (normalization,)))


#: Classes that override what the base class does, by name without "Pil". Those of BEiT and MobileNetV2 only add maps of
#: segments to what they take.
READERS: Mapping[str, Callable[[Any], ImageSettings]] = {
    "BeitImageProcessor": _read_plainly,
    "ConditionalDetrImageProcessor": _read_detr,
    "ConvNextImageProcessor": _read_convnext,
    "DeformableDetrImageProcessor": _read_detr,
    "DPTImageProcessor": _read_dpt,
    "DetrImageProcessor": _read_detr,
    "DonutImageProcessor": _read_donut,
    "EfficientNetImageProcessor": _read_efficientnet,
    "GLPNImageProcessor": _read_glpn,
    "LevitImageProcessor": _read_levit,
    "Mask2FormerImageProcessor": _read_maskformer,
    "MaskFormerImageProcessor": _read_maskformer,
    "MobileNetV2ImageProcessor": _read_plainly,
    "MobileViTImageProcessor": _read_mobilevit,
    "Owlv2ImageProcessor": _read_owlv2,
    "PerceiverImageProcessor": _read_perceiver,
    "PoolFormerImageProcessor": _read_poolformer,
    "RTDetrImageProcessor": _read_detr,
    "SamImageProcessor": _read_sam,
    "SegformerImageProcessor": _read_segformer,
    "Siglip2ImageProcessor": _read_siglip2,
    "Swin2SRImageProcessor": _read_swin2sr,
    "TextNetImageProcessor": _read_textnet,
    "TimmWrapperImageProcessor": _read_timm,
    "ViltImageProcessor": _read_vilt,
    "YolosImageProcessor": _read_yolos,
}
