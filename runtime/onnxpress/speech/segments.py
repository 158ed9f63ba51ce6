"""A window's tokens as segments, and where the next window begins; as transformers cuts them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from onnxpress.speech.tokens import SpeechTokens

#: Frames of a token of time.
_FRAMES = 2


@dataclass(frozen=True, slots=True)
class SpokenSegment:
    """`tokens`: with those of its times, without the one that ends a text. `offset`: seconds at which its window
    begins. `window`: the number of the window. `times`: seconds at which each token was spoken, where they are known.
    """

    tokens: tuple[int, ...]
    offset: float
    window: int
    times: tuple[float, ...] | None = None


def cut(
    ids: Sequence[int], tokens: SpeechTokens, frames: int, window: int, offset: float, times: Sequence[float] | None
) -> tuple[list[SpokenSegment], int]:
    """The segments of a window, and by how many frames the next one begins later.

    Args:
        ids: what was written of the window, without the token that ends a text.
        frames: how many the window has.
        times: of each of the ids, from the window's beginning.
    """
    is_time = [tokens.is_time(token) for token in ids]
    pairs = [place + 1 for place in range(len(ids) - 1) if is_time[place] and is_time[place + 1]]
    ends_with_one = is_time[-2:] == [False, True]

    def segment(start: int, stop: int) -> SpokenSegment:
        spoken = None if times is None else tuple(offset + time for time in times[start:stop])
        return SpokenSegment(tuple(ids[start:stop]), offset, window, spoken)

    if not pairs:
        return [segment(0, len(ids))], frames
    # Without a last time, both of the last pair end: what follows them is not finished, and heard again.
    stops = [*pairs, len(ids)] if ends_with_one else [*pairs[:-1], pairs[-1] + 1]
    starts = [0, *stops[:-1]]
    segments = [segment(start, stop) for start, stop in zip(starts, stops, strict=True)]
    if ends_with_one:
        return segments, frames
    assert tokens.first_time is not None
    return segments, (ids[stops[-1] - 2] - tokens.first_time) * _FRAMES


def moved(segment: SpokenSegment, seconds: float) -> SpokenSegment:
    """A segment of a part of a sound, which begins at so many seconds of it."""
    times = None if segment.times is None else tuple(seconds + time for time in segment.times)
    return replace(segment, offset=seconds + segment.offset, times=times)
