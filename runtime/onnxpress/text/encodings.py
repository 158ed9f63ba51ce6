"""What a tokenizer returns for a text, and how a text is cut. Knows no tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from onnxpress.errors import InputError

Side = Literal["left", "right"]
Strategy = Literal["longest_first", "only_first", "only_second"]


class Encoding(Protocol):
    """What the Rust tokenizer returns for one text or pair. Offsets count characters of the text (code points)."""

    @property
    def ids(self) -> list[int]: ...
    @property
    def type_ids(self) -> list[int]: ...
    @property
    def tokens(self) -> list[str]: ...
    @property
    def offsets(self) -> list[tuple[int, int]]: ...
    @property
    def special_tokens_mask(self) -> list[int]: ...
    @property
    def word_ids(self) -> list[int | None]: ...
    @property
    def sequence_ids(self) -> list[int | None]: ...
    @property
    def overflowing(self) -> list[Any]: ...


@dataclass(frozen=True, slots=True)
class Truncation:
    """Keep at most `max_length` tokens, special ones included; what is cut comes back in `overflowing`, each piece
    repeating the last `stride` tokens of the one before."""

    max_length: int
    strategy: Strategy = "longest_first"
    stride: int = 0
    side: Side | None = None


@dataclass(frozen=True, slots=True)
class PlainEncoding:
    """An Encoding of our own making. Pieces of slow tokenizers have no place in the text: their offsets are (0, 0)."""

    ids: list[int]
    type_ids: list[int]
    tokens: list[str]
    offsets: list[tuple[int, int]]
    special_tokens_mask: list[int]
    word_ids: list[int | None]
    sequence_ids: list[int | None]
    overflowing: list[Any] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Cut:
    """What was kept of a text, and how to make what overflows of it: of a long text that is far more work than what
    was kept, and most tasks never look at it.

    `make_overflowing` is called each time that `overflowing` is read.
    """

    encoding: Encoding
    make_overflowing: Callable[[], list[Any]]

    @property
    def ids(self) -> list[int]:
        return self.encoding.ids

    @property
    def type_ids(self) -> list[int]:
        return self.encoding.type_ids

    @property
    def tokens(self) -> list[str]:
        return self.encoding.tokens

    @property
    def offsets(self) -> list[tuple[int, int]]:
        return self.encoding.offsets

    @property
    def special_tokens_mask(self) -> list[int]:
        return self.encoding.special_tokens_mask

    @property
    def word_ids(self) -> list[int | None]:
        return self.encoding.word_ids

    @property
    def sequence_ids(self) -> list[int | None]:
        return self.encoding.sequence_ids

    @property
    def overflowing(self) -> list[Any]:
        return self.make_overflowing()


def check_characters(texts: Iterable[str]) -> None:
    """Refuse half a character: a surrogate that is not one of a pair, which UTF-8 has no bytes for.

    Raises:
        InputError: where it is, and how the text may be mended.
    """
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InputError(
                f"The text cannot be tokenized: at position {error.start} it has half a character "
                f"({text[error.start]!r}), as texts have that were cut inside an emoji, or read from JSON escapes that "
                "were. Pass text.encode('utf-16', 'surrogatepass').decode('utf-16', 'replace'), which joins what are "
                "two halves and puts a mark in the place of one."
            ) from None


def replaced(encoding: Encoding, position: int, token_id: int, token: str) -> Encoding:
    """The encoding, and what overflows from it, with another token at `position`."""
    ids, tokens = list(encoding.ids), list(encoding.tokens)
    ids[position], tokens[position] = token_id, token
    row = PlainEncoding(
        ids,
        encoding.type_ids,
        tokens,
        encoding.offsets,
        encoding.special_tokens_mask,
        encoding.word_ids,
        encoding.sequence_ids,
    )
    return Cut(row, lambda: [replaced(part, position, token_id, token) for part in encoding.overflowing])


def windows(length: int, room: int, stride: int, side: Side) -> list[tuple[int, int]]:
    """Where to cut `length` tokens into parts of at most `room`, neighbours sharing `stride`: (start, end), the part
    that is kept first. Cutting on the left keeps the end of the text.

    Raises:
        InputError: `room` is not larger than the stride, so that parts would never end.
    """
    if length <= room or (room == 0 and stride == 0):
        return [(0, min(length, room))]
    if room <= stride:
        raise InputError(
            f"There is room for {max(room, 0)} tokens of the text, which a stride of {stride} leaves none of. "
            "Choose a larger maximum length or a smaller stride."
        )
    starts: Sequence[int] = range(0, length - stride, room - stride)
    parts = [(start, min(start + room, length)) for start in starts]
    return parts if side == "right" else [(length - end, length - start) for start, end in parts]
