"""Pictures and sounds in requests, and in answers. A text in a request is never the path of a file of this machine."""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Mapping
from io import BytesIO
from typing import Any

import numpy as np

from onnxpress.errors import InputError
from onnxpress.format.callers_files import is_url
from onnxpress.serve.versions import AnyPipeline

#: Fields of an input that hold a picture or a sound.
_FIELDS = ("image", "images", "audio", "inputs")

#: Content types of a body that is a picture or a sound itself.
RAW = ("image/", "audio/", "video/", "application/octet-stream")


def takes_media(pipe: AnyPipeline) -> bool:
    """Whether a plain input of a task is a picture or a sound."""
    processors = pipe.manifest.processors
    return processors.image is not None or processors.audio is not None


def opened(value: Any, *, allow_urls: bool) -> Any:
    """An input of a picture or a sound as it came in JSON: base64 and data URIs as bytes; the rest of it as it is.

    Raises:
        InputError: an address that is not to be fetched, or neither of these.
    """
    if isinstance(value, str):
        return _content(value, allow_urls=allow_urls)
    if isinstance(value, Mapping):
        return {
            name: opened(part, allow_urls=allow_urls) if name in _FIELDS and isinstance(part, (str, list)) else part
            for name, part in value.items()
        }
    if isinstance(value, list):
        return [opened(part, allow_urls=allow_urls) if isinstance(part, (str, Mapping)) else part for part in value]
    return value


def _content(text: str, *, allow_urls: bool) -> Any:
    if is_url(text):
        if not allow_urls:
            raise InputError(
                f"{text[:80]!r} is an address, and none is fetched here: send the content, as base64 or as the body."
            )
        return text
    encoded = text.partition(",")[2] if text.startswith("data:") else text
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise InputError(
            f"{text[:40]!r} is to be a picture or a sound: send its bytes as the body, as base64 or as a data URI."
        ) from None


def png_base64(image: Any) -> str:
    """A picture, such as a mask, as clients of the Hub expect it."""
    return base64.b64encode(png(image)).decode("ascii")


def png(image: Any) -> bytes:
    """A Pillow image as a PNG."""
    target = BytesIO()
    image.save(target, "PNG")
    return target.getvalue()


def is_picture(result: Any) -> bool:
    """Whether a result is a Pillow image."""
    return hasattr(result, "save") and hasattr(result, "getbands")


def is_sound(result: Any) -> bool:
    """Whether a result is a sound that was made."""
    return isinstance(result, Mapping) and {"audio", "sampling_rate"} <= set(result)


def wav(result: Mapping[str, Any]) -> bytes:
    """A sound, float32 (samples) or (1, samples) from -1 to 1, as a WAV file of 16 bits."""
    samples = np.asarray(result["audio"], np.float32).reshape(-1)
    data = (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()
    rate = int(result["sampling_rate"])
    head = struct.pack("<4sI4s4sIHHIIHH", b"RIFF", 36 + len(data), b"WAVE", b"fmt ", 16, 1, 1, rate, rate * 2, 2, 16)
    return head + struct.pack("<4sI", b"data", len(data)) + data
