"""How a long sound is cut into windows that are heard one by one, as transformers cuts it for CTC models."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from onnxpress.errors import InputError

#: Longer sounds are cut, unless a call says otherwise: attention takes the square of a length in memory.
LONG_SECONDS = 60.0

#: Their windows; of each, so much at both ends is only heard for what is between.
_WINDOW_SECONDS, _MARGIN_SECONDS = 30.0, 5.0

#: Windows that a call asks for have margins of a sixth where it does not say; transformers' own.
_MARGIN_OF_WINDOW = 6


@dataclass(frozen=True, slots=True)
class SoundWindow:
    """Samples [start, stop) of a sound, of which `left` and `right` are only heard for what is between."""

    start: int
    stop: int
    left: int
    right: int

    def moments(self, samples_of_moment: int) -> slice:
        """The moments that count, as transformers rounds them (`rescale_stride`)."""
        length = self.stop - self.start
        count = round(length * (1 / samples_of_moment))
        left, right = (round(margin / length * count) for margin in (self.left, self.right))
        return slice(left, count - right)


def check_lengths(length: Any, stride: Any) -> None:
    """Refuse what are no seconds of windows and of their margins.

    Raises:
        InputError: which.
    """
    if length is not None and not _seconds(length):
        raise InputError(f"chunk_length_s is {length!r:.60}; it must be a number of seconds, or None.")
    _margins(stride, 0.0)


def windows_of(samples: int, rate: int, step: int, length: float | None, stride: Any) -> list[SoundWindow]:
    """The windows that a sound is heard in; one that is the whole sound, where it is not cut.

    Args:
        samples: of the sound.
        rate: of them, a second.
        step: what windows and margins are multiples of, in samples.
        length: of a window, in seconds; 0: sounds are not cut; None: long ones are.
        stride: seconds on both sides, or on the left and the right; None: what is usual.

    Raises:
        InputError: the margins leave nothing of a window.
    """
    if length is None and samples > LONG_SECONDS * rate:
        length, margins = _WINDOW_SECONDS, _margins(stride, _MARGIN_SECONDS)
    else:
        margins = _margins(stride, (length or 0.0) / _MARGIN_OF_WINDOW)
    if not length:
        return [SoundWindow(0, samples, 0, 0)]
    whole, left, right = (round(seconds * rate / step) * step for seconds in (length, *margins))
    if whole <= left + right:
        raise InputError(
            f"stride_length_s leaves nothing of a window of {length:g} seconds: {margins[0]:g} and {margins[1]:g}."
        )
    return list(_cut(samples, whole, left, right))


def _cut(samples: int, whole: int, left: int, right: int) -> Iterator[SoundWindow]:
    for start in range(0, samples, whole - left - right):
        stop, last = min(start + whole, samples), start + whole >= samples
        margin = left if start else 0
        if stop - start > margin:
            yield SoundWindow(start, stop, margin, 0 if last else right)
        if last:
            break


def _margins(stride: Any, usual: float) -> tuple[float, float]:
    stride = usual if stride is None else stride
    if _seconds(stride):
        return float(stride), float(stride)
    if isinstance(stride, (list, tuple)) and len(stride) == 2 and all(map(_seconds, stride)):
        return float(stride[0]), float(stride[1])
    raise InputError(f"stride_length_s is {stride!r:.60}; it must be a number of seconds, or two: (left, right).")


def _seconds(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < float("inf")
