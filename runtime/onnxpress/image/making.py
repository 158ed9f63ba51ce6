"""Makes Pillow's pictures of arrays: what tasks answer with pictures answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.errors import MissingDependency

if TYPE_CHECKING:
    from PIL.Image import Image


def picture_of(pixels: NDArray[Any]) -> Image:
    """A grey picture (mode "L") of uint8 (height, width), one in colours ("RGB") of uint8 (height, width, 3).

    Raises:
        MissingDependency: Pillow is not installed.
    """
    try:
        from PIL.Image import fromarray
    except ImportError as error:
        raise MissingDependency("Pictures need Pillow: `pip install 'onnxpress[vision]'`.") from error
    return fromarray(np.ascontiguousarray(pixels, dtype=np.uint8))


def mask_of(places: NDArray[np.bool_]) -> Image:
    """A grey picture, 255 where `places` (height, width) is true and 0 elsewhere."""
    return picture_of(places.view(np.uint8) * np.uint8(255))
