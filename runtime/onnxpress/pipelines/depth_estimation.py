"""depth-estimation: how far each place of a picture is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypedDict

import numpy as np
from numpy.typing import NDArray

from onnxpress.errors import InputError
from onnxpress.image.interpolation import interpolate
from onnxpress.image.making import picture_of
from onnxpress.image.opening import open_picture
from onnxpress.pipelines.base import Outputs, Pipeline
from onnxpress.pipelines.batching import Prepared
from onnxpress.pipelines.pictures import PictureOptions, PictureProcessor, call_pictures
from onnxpress.samples import Batch

if TYPE_CHECKING:
    from onnxpress.image.opening import Image


#: Of the largest number: numbers that differ by less differ by rounding.
_FLAT = 1e-5


class Depth(TypedDict):
    """`predicted_depth`: float32 (height, width) of the picture, in the model's unit; `depth`: the same as a grey
    picture, the smallest number black, the largest white."""

    predicted_depth: NDArray[np.float32]
    depth: Image


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthEstimationOptions(PictureOptions):
    """`parameters`: as transformers takes them, {"timeout": seconds}."""

    parameters: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        PictureOptions.__post_init__(self)
        if self.parameters is not None and (
            not isinstance(self.parameters, Mapping) or set(self.parameters) - {"timeout"}
        ):
            raise InputError(f"parameters is {self.parameters!r}; it may hold a 'timeout' and nothing else.")


class DepthEstimation(Pipeline[DepthEstimationOptions, PictureProcessor]):
    """`pipe(picture)` -> {"predicted_depth": float32 array (height, width), "depth": grey Pillow image}, both of the
    picture's size; a list of pictures gives a list of these."""

    options_type = DepthEstimationOptions
    processor_type = PictureProcessor
    __call__ = call_pictures
    window: ClassVar[int] = 32

    def prepare(self, item: Any, options: DepthEstimationOptions) -> Prepared[None]:
        picture = open_picture(item, options.max_pixels, options.urls)
        return Prepared((self.processor.sample_of(picture, (picture.height, picture.width)),), None)

    def reduce(self, batch: Batch, outputs: Outputs, options: DepthEstimationOptions) -> Sequence[NDArray[np.float32]]:
        depths = outputs[self.answer_name]
        return [
            interpolate(depth, sample.context, "bicubic") for depth, sample in zip(depths, batch.samples, strict=True)
        ]

    def finish(self, context: None, values: list[Any], options: DepthEstimationOptions) -> Depth:
        depth: NDArray[np.float32] = values[0]
        return Depth(predicted_depth=depth, depth=picture_of(grey(depth)))


def grey(depth: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The smallest number as 0, the largest as 255, rounded down. Where all are equal but for rounding, transformers
    divides by zero, or makes a picture of the rounding: here they are 0."""
    least, most = depth.min(), depth.max()
    if not most - least > _FLAT * max(abs(least), abs(most)):
        return np.zeros(depth.shape, dtype=np.uint8)
    return np.asarray((depth - least) / (most - least) * 255).astype(np.uint8)
