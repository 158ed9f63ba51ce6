"""Writes sounds as WAV files of 16-bit numbers. Needs no package."""

from __future__ import annotations

import base64
import wave
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.errors import InputError

#: The largest 16-bit number.
_LOUDEST = 32_767


def wav_of(samples: NDArray[Any], rate: int) -> bytes:
    """A WAV file of float (samples,), from -1 to 1; what is louder is clipped.

    Raises:
        InputError: the samples are not one channel of finite numbers.
    """
    if samples.ndim != 1 or not np.isfinite(samples).all():
        raise InputError(f"A sound to be written must be (samples,) of finite numbers, not {samples.shape}.")
    content = BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.rint(np.clip(samples, -1, 1) * _LOUDEST).astype("<i2").tobytes())
    return content.getvalue()


def wav_data_uri(samples: NDArray[Any], rate: int) -> str:
    """The same as a data URI."""
    return "data:audio/wav;base64," + base64.b64encode(wav_of(samples, rate)).decode("ascii")
