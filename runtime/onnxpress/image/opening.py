"""Opens a picture from what a caller has: a path, bytes, a file object, a data URI, an address, a Pillow image or an
array.

What comes out is as transformers' pipelines open it (`transformers.image_utils.load_image`): turned as its EXIF says,
three channels, alpha dropped, the first of several frames. What transformers turns black or white without a word
(16-bit and float pictures), and what would take minutes or the machine's memory, is refused.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxpress.errors import InputError, MissingDependency
from onnxpress.fetching.files import open_media
from onnxpress.fetching.limits import FetchLimits
from onnxpress.format.callers_files import MediaKind

if TYPE_CHECKING:
    from PIL.Image import Image as Image  # for those who pass opened pictures on

#: Of one picture: 50 million take 150 MB as three bytes each.
MAX_PIXELS = 50_000_000

#: Of one file: what so many pixels take where nothing is compressed, and more.
MAX_BYTES = 256 * 2**20

_PICTURE = MediaKind(
    "picture", "a path, bytes, a file object, a Pillow image or a uint8 array", "image/png", most=MAX_BYTES
)

#: Pillow's names of the formats that are opened; the others are seldom met and their readers seldom tried.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")

#: The modes of Pillow whose pixels have more than 8 bits a channel: it cuts them off where it converts them.
_WIDE = ("I", "I;16", "I;16B", "I;16L", "I;16N", "F")


def open_picture(raw: Any, max_pixels: int = MAX_PIXELS, urls: FetchLimits | None = None) -> Image:
    """A picture in mode "RGB".

    Args:
        raw: a path, bytes, a binary file object, a data URI, a Pillow image, or a uint8 array (height, width), (height,
            width, channels) or (channels, height, width) with 1, 3 or 4 channels; with `urls` also an address.
        max_pixels: a picture of more is refused before it is read.
        urls: what fetching an address may take; None: nothing is fetched.

    Raises:
        InputError: it is none of these, damaged, empty, too large, or not of 8 bits a channel.
        MissingDependency: Pillow is not installed.
    """
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise MissingDependency("Pictures need Pillow: `pip install 'onnxpress[vision]'`.") from error

    with ExitStack() as opened:
        if isinstance(raw, Image.Image):
            name, image = "The picture", raw
            _check(image, name, max_pixels)
        elif isinstance(raw, np.ndarray) or hasattr(raw, "__array__"):
            name = "The array"
            image = Image.fromarray(_pixels(np.asarray(raw), max_pixels))
        else:
            name, source = open_media(raw, _PICTURE, urls)
            image = _opened(name, opened.enter_context(source), max_pixels)
        try:
            turned = ImageOps.exif_transpose(image)
            return turned if turned.mode == "RGB" else turned.convert("RGB")
        except Exception as error:  # Pillow raises many kinds, SyntaxError and struct.error among them
            raise _damaged(name, error) from error


def _opened(name: str, source: Any, max_pixels: int) -> Image:
    """Read a file, the size of its picture first."""
    from PIL import Image, UnidentifiedImageError

    try:
        with _quiet():  # Pillow warns of sizes, which are checked here, and of damaged tags
            image = Image.open(source, formats=FORMATS)
            _check(image, name, max_pixels)
            image.load()
    except InputError:
        raise
    except UnidentifiedImageError as error:
        raise InputError(f"{name} is no picture of a known format ({', '.join(FORMATS)}).") from error
    except Image.DecompressionBombError as error:
        raise InputError(f"{name} has more than the {max_pixels} pixels that are read: make it smaller.") from error
    except Exception as error:  # Pillow raises many kinds, SyntaxError and struct.error among them
        raise _damaged(name, error) from error
    return image


#: How many threads read pictures at the moment, and what gives Python's warnings back when the last one is done.
_readers = 0
_silence = ExitStack()
_lock = threading.Lock()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without warnings, whose filters are those of the whole process: one thread puts them aside for all that read."""
    global _readers, _silence
    with _lock:
        if not _readers:
            _silence = ExitStack()
            _silence.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
        _readers += 1
    try:
        yield
    finally:
        with _lock:
            _readers -= 1
            if not _readers:
                _silence.close()


def _check(image: Image, name: str, max_pixels: int) -> None:
    width, height = image.size
    if width < 1 or height < 1:
        raise InputError(f"{name} is empty: {width}x{height} pixels.")
    if width * height > max_pixels:
        raise InputError(
            f"{name} has {width}x{height} pixels, more than the {max_pixels} that are read: make it smaller."
        )
    if image.mode in _WIDE:
        raise InputError(
            f"{name} has more than 8 bits a channel (mode {image.mode}), which no model here reads: scale it to 8 "
            "bits, as its range asks for."
        )


def _damaged(name: str, error: Exception) -> InputError:
    return InputError(f"{name} is a damaged picture ({str(error)[:80] or type(error).__name__}).")


def _pixels(array: np.ndarray[Any, Any], max_pixels: int) -> np.ndarray[Any, Any]:
    """uint8 (height, width, 3) or (height, width) of an array."""
    if array.dtype != np.uint8:
        raise InputError(
            f"An array of pixels must be uint8, from 0 to 255, not {array.dtype}. Of numbers from 0 to 1: "
            "(array * 255).round().astype('uint8')."
        )
    if array.ndim == 3 and array.shape[0] in (1, 3, 4) and array.shape[2] not in (1, 3, 4):
        array = np.moveaxis(array, 0, -1)
    if array.ndim == 3 and array.shape[0] == 3 and array.shape[2] == 3:
        # As transformers reads an array that may be either.
        array = np.moveaxis(array, 0, -1)
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise InputError(
            f"An array of pixels must be (height, width) or (height, width, channels), not {tuple(array.shape)}."
        )
    if array.size == 0:
        raise InputError(f"The array is empty: {tuple(array.shape)}.")
    if array.shape[0] * array.shape[1] > max_pixels:
        raise InputError(
            f"The array has {array.shape[1]}x{array.shape[0]} pixels, more than the {max_pixels} that are read: make "
            "it smaller."
        )
    if array.ndim == 3:
        array = array[:, :, 0] if array.shape[2] == 1 else array[:, :, :3]
    return np.ascontiguousarray(array)
