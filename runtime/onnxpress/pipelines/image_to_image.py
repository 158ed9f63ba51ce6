"""image-to-image: a picture made of a picture, such as a larger one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from onnxpress.image.making import picture_of
from onnxpress.pipelines.base import Outputs, Pipeline
from onnxpress.pipelines.batching import Prepared
from onnxpress.pipelines.pictures import PictureOptions, PictureProcessor, call_pictures
from onnxpress.samples import Batch

if TYPE_CHECKING:
    from onnxpress.image.opening import Image


class ImageToImage(Pipeline[PictureOptions, PictureProcessor]):
    """`pipe(picture)` -> a Pillow image, as the model makes it: of a picture that its processor fills up at the right
    and at the bottom, those edges too. A list of pictures gives a list of images."""

    options_type = PictureOptions
    processor_type = PictureProcessor
    __call__ = call_pictures
    window: ClassVar[int] = 32

    def prepare(self, item: Any, options: PictureOptions) -> Prepared[None]:
        return Prepared((self.processor.read(item, options),), None)

    def reduce(self, batch: Batch, outputs: Outputs, options: PictureOptions) -> Sequence[NDArray[np.uint8]]:
        return [pixels(values) for values in outputs[self.answer_name]]

    def finish(self, context: None, values: list[Any], options: PictureOptions) -> Image:
        return picture_of(values[0])


def pixels(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """float32 (channels, height, width), from 0 to 1, as uint8 (height, width, channels)."""
    return np.moveaxis((values.clip(0, 1) * np.float32(255)).round().astype(np.uint8), 0, -1)
