"""How a text or a pair is cut to a number of tokens: as `tokenizers` and transformers cut it, without their state.

The rules are those of `truncate_encodings` in `tokenizers/src/utils/truncation.rs`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from onnxpress.errors import InputError
from onnxpress.text.encodings import Side, Strategy, Truncation

if TYPE_CHECKING:
    from tokenizers import Encoding


@dataclass(frozen=True, slots=True)
class Parts:
    """What is kept of a text or a pair, in the library's own encodings, still without special tokens.

    `with_overflowing` makes them once more, with what was cut as their `overflowing`; None: they have it already.
    """

    first: Encoding
    second: Encoding | None
    with_overflowing: Callable[[], Parts] | None = None


def truncate(first: Encoding, second: Encoding | None, truncation: Truncation, room: int, side: Side) -> Parts:
    """Encodings without special tokens, cut so that together they have at most `room` tokens. `first` and `second`
    must not be used any more.

    Raises:
        InputError: they cannot be cut so.
    """
    parts = [first] if second is None else [first, second]
    lengths = [len(part) for part in parts]
    if sum(lengths) <= room:
        return Parts(first, second)
    if room < 0:
        raise InputError(cannot_cut("it leaves no room for the text", truncation))
    limits = kept_lengths(lengths, room, truncation)
    for length, most in zip(lengths, limits, strict=True):
        if most < length and 0 < truncation.stride >= most:
            raise InputError(cannot_cut("it leaves no room for the text", truncation))
    if second is not None and 0 < limits[1] < lengths[1]:
        parts[1] = _as_second(second)
    places = list(zip(lengths, limits, strict=True))
    # A text of which nothing is kept overflows as one piece, which the library would not forget when it is joined.
    lazily = any(0 < 2 * most <= length for length, most in places) and all(
        most or not length for length, most in places
    )
    if not lazily:
        return _cut(parts, limits, truncation.stride, side)
    halves = [_split(part, most, side) for part, most in zip(parts, limits, strict=True)]
    return Parts(
        halves[0][0],
        None if second is None else halves[1][0],
        lambda: _cut([_joined(*half, side) for half in halves], limits, truncation.stride, side),
    )


def _cut(parts: list[Encoding], limits: list[int], stride: int, side: Side) -> Parts:
    for part, most in zip(parts, limits, strict=True):
        part.truncate(most, stride, side)
    return Parts(parts[0], parts[1] if len(parts) > 1 else None)


def _split(encoding: Encoding, most: int, side: Side) -> tuple[Encoding, Encoding | None]:
    """The `most` tokens that stay, and the rest in one piece; None: there is no rest. Cutting copies each piece, and a
    long text has thousands; cut from its other end, to the length of the rest, it has two."""
    length = len(encoding)
    if most >= length:
        return encoding, None
    if most <= length - most:
        encoding.truncate(length - most, 0, "left" if side == "right" else "right")
        return encoding.overflowing[0], encoding
    encoding.truncate(most, 0, side)
    return encoding, encoding.overflowing[0]


def _joined(first: Encoding, rest: Encoding | None, side: Side) -> Encoding:
    """A copy of the text that was split. What overflows of the halves is of no account: cutting forgets it,
    where some of the text is kept."""
    from tokenizers import Encoding

    halves = [first] if rest is None else [first, rest]
    return Encoding.merge(halves if side == "right" else halves[::-1], growing_offsets=False)


def _as_second(encoding: Encoding) -> Encoding:
    """The same tokens with the type id 1: what overflows of a text keeps the type ids that it had alone."""
    from tokenizers import Encoding, processors

    return processors.Sequence([]).process(Encoding(), encoding, False)


def kept_lengths(lengths: list[int], room: int, truncation: Truncation) -> list[int]:
    """How many tokens are kept of a text, or of each text of a pair, that have more than `room` together.

    Raises:
        InputError: the text that is to be cut is shorter than what has to go, or is not there.
    """
    if room == 0:
        return [0] * len(lengths)
    return _KEPT[truncation.strategy](lengths, room, truncation)


def cannot_cut(reason: str, truncation: Truncation) -> str:
    """The message for a text that a truncation cannot cut."""
    return (
        f"The text cannot be cut to {truncation.max_length} tokens with a stride of {truncation.stride} "
        f"({reason}). Choose a larger maximum length or a smaller stride."
    )


def _longest_first(lengths: list[int], room: int, truncation: Truncation) -> list[int]:
    if len(lengths) == 1:
        return [room]
    shorter, longer = sorted(lengths)
    longer = shorter if shorter > room else max(shorter, room - shorter)
    if shorter + longer > room:
        shorter = room // 2
        longer = shorter + room % 2
    return [longer, shorter] if lengths[0] > lengths[1] else [shorter, longer]


def _only_first(lengths: list[int], room: int, truncation: Truncation) -> list[int]:
    return [_without(lengths[0], sum(lengths) - room, truncation), *lengths[1:]]


def _only_second(lengths: list[int], room: int, truncation: Truncation) -> list[int]:
    if len(lengths) == 1:
        raise InputError(cannot_cut("there is no second text", truncation))
    return [lengths[0], _without(lengths[1], sum(lengths) - room, truncation)]


def _without(length: int, excess: int, truncation: Truncation) -> int:
    if length <= excess:
        raise InputError(cannot_cut("the text to be cut is shorter than what has to go", truncation))
    return length - excess


_KEPT: Mapping[Strategy, Callable[[list[int], int, Truncation], list[int]]] = {
    "longest_first": _longest_first,
    "only_first": _only_first,
    "only_second": _only_second,
}
