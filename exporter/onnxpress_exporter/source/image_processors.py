"""Reads a checkpoint's image processor as a program of the manifest: the values that its class resolves, not those that
its file happens to hold.

A class of transformers that overrides methods of its base class, and has no reader, is refused. What was read is
compared with the class itself on pictures of many shapes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from onnxpress.errors import InputError, UnsupportedFormat
from onnxpress.format.pictures import ImageSettings
from onnxpress.image.transform import Transform
from onnxpress.layouts.picture_files.readers import READERS, class_name, read_values
from onnxpress_exporter.errors import UnsupportedCheckpoint, VerificationFailed
from onnxpress_exporter.source.checkpoint import first_line

#: What a class may not override unless READERS knows it.
_METHODS = (
    "_preprocess", "_preprocess_image_like_inputs", "center_crop", "convert_to_rgb", "normalize", "pad", "preprocess",
    "process_image", "rescale", "resize",
)  # fmt: skip

#: Sizes (width, height) that what was read is tried on: larger, smaller, odd, flat, tall.
_SIZES = ((640, 480), (333, 517), (31, 47), (224, 224), (1000, 90), (75, 800), (256, 257))

#: Largest difference of a number, which is about 1 in size. Half a step of 8 bits is 0.002.
_ERROR = 1e-6


def read_image_processor(processor: Any) -> ImageSettings:
    """The program of a processor, compared with it.

    Raises:
        UnsupportedCheckpoint: its class does what no step of the manifest does.
        VerificationFailed: the program's numbers are not the processor's.
    """
    name = class_name(processor)
    if name not in READERS and (methods := sorted(overridden(type(processor)))):
        raise UnsupportedCheckpoint(
            f"{name} is not read by this version: it has its own {', '.join(methods)}. No artifact was written."
        )
    try:
        settings = read_values(name, processor)
    except UnsupportedFormat as error:
        raise UnsupportedCheckpoint(str(error)) from None
    _compare(processor, settings, name)
    return settings


def overridden(kind: type) -> Iterator[str]:
    """The methods of the base class that a class or one between has its own of."""
    for parent in kind.__mro__:
        if parent.__module__.startswith("transformers.image_processing_"):
            return
        yield from (method for method in _METHODS if method in vars(parent))


def _compare(processor: Any, settings: ImageSettings, name: str) -> None:
    """Raise VerificationFailed unless the program gives the processor's own numbers."""
    from PIL import Image

    transform, generator = Transform(settings), np.random.default_rng(0)
    for width, height in _SIZES:
        image = Image.fromarray(generator.integers(0, 256, (height, width, 3), dtype=np.uint8))
        try:
            obtained = transform.arrays(image)
        except InputError:
            continue  # nothing would be left of it, or far too much be made, or it is larger than the padding
        try:
            answer = processor(images=image, return_tensors="pt")
        except ValueError as refusal:
            raise UnsupportedCheckpoint(f"{name} takes no picture in transformers: {first_line(refusal)}") from refusal
        for array, values in obtained.items():
            expected = np.asarray(answer[array][0], values.dtype)
            error = np.abs(expected - values).max() if expected.shape == values.shape else np.inf
            if not error <= _ERROR:
                raise VerificationFailed(
                    f"{name} was read wrong: of a picture of {width}x{height} pixels it makes {array} of "
                    f"{expected.shape} numbers, and onnxpress of {values.shape}, {error:.2g} apart. No artifact was "
                    "written. Please report this checkpoint."
                )
