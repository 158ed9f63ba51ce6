"""Reads a sentencepiece model, which is a protobuf message, without the sentencepiece library. The file may be hostile.

Field numbers: https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Final

from onnxpress.errors import CorruptFile
from onnxpress.graphcheck.protowire import FIXED32, LENGTH, VARINT, Budget, Message, fields, tag, text

MAX_BYTES: Final = 64 << 20
_MAX_FIELDS: Final = 8_000_000
#: More than the messages have, and those that users may add behind 200.
_NUMBERS: Final = range(1, 260)
_ANY: Final = frozenset(tag(number, wire) for number in _NUMBERS for wire in (VARINT, 1, LENGTH, FIXED32))

_PIECES, _TRAINER, _NORMALIZER, _DENORMALIZER = tag(1), tag(2), tag(3), tag(5)
_TEXT, _SCORE, _KIND = tag(1), tag(2, FIXED32), tag(3, VARINT)
_CHARSMAP, _DUMMY_PREFIX, _NO_EXTRA_SPACES, _ESCAPES = tag(2), tag(3, VARINT), tag(4, VARINT), tag(5, VARINT)
_MODEL_TYPE, _SUFFIXED, _BYTES, _UNKNOWN = tag(3, VARINT), tag(24, VARINT), tag(35, VARINT), tag(40, VARINT)

_FLOAT: Final = struct.Struct("<f")

UNIGRAM, BYTE_PAIRS, CHARACTERS = 1, 2, 4


class PieceKind(IntEnum):
    """What a piece is for."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True, slots=True)
class Piece:
    """`score`: the logarithm of its probability, or its rank among byte pairs."""

    text: str
    score: float
    kind: int


@dataclass(slots=True)
class SentencePieceFile:
    """What a model says. `model_type`: UNIGRAM, BYTE_PAIRS, CHARACTERS or another; `unknown`: the unknown piece's id.

    The last rows are settings of its normalizer, and whether decoded text is rewritten."""

    pieces: list[Piece] = field(default_factory=list)
    model_type: int = UNIGRAM
    unknown: int = 0
    byte_fallback: bool = False
    spaces_behind_words: bool = False
    charsmap: bytes = b""
    add_dummy_prefix: bool = True
    remove_extra_whitespaces: bool = True
    escape_whitespaces: bool = True
    rewrites_decoded: bool = False


def read_sentencepiece(path: Path) -> SentencePieceFile:
    """The model in a file.

    Raises:
        CorruptFile: it is none.
    """
    if (size := path.stat().st_size) > MAX_BYTES:
        raise CorruptFile(f"{path}: {size} bytes are more than such a file has ({MAX_BYTES}).")
    return parse_sentencepiece(path.read_bytes(), str(path))


def parse_sentencepiece(data: bytes, where: str) -> SentencePieceFile:
    """The model in bytes.

    Raises:
        CorruptFile: there is none.
    """
    model, budget = SentencePieceFile(), Budget(_MAX_FIELDS)
    try:
        for key, first, last in _fields(data, 0, len(data), budget):
            if key == _PIECES:
                model.pieces.append(_piece(data, first, last, budget))
            elif key == _TRAINER:
                _read_trainer(model, data, first, last, budget)
            elif key == _NORMALIZER:
                _read_normalizer(model, data, first, last, budget)
            elif key == _DENORMALIZER:
                inner = _fields(data, first, last, budget)
                model.rewrites_decoded = any(number == _CHARSMAP and end > start for number, start, end in inner)
    except (CorruptFile, IndexError) as error:
        raise CorruptFile(f"{where}: not a sentencepiece model ({error}).") from None
    if not model.pieces:
        raise CorruptFile(f"{where}: not a sentencepiece model (it has no pieces).")
    return model


def _fields(data: bytes, start: int, end: int, budget: Budget) -> Iterator[tuple[int, int, int]]:
    return fields(data, start, end, _MESSAGE, budget)


_MESSAGE: Final = Message("a sentencepiece model", once=frozenset(), many=_ANY)


def _piece(data: bytes, start: int, end: int, budget: Budget) -> Piece:
    """One piece. As the library writes them (a short text, a score, and a kind where it is no usual one) they are read
    at once: there may be 250,000."""
    behind = start + 2 + data[start + 1]
    score_ends = behind + 5
    scored = data[start] == _TEXT and data[start + 1] < 0x80 and score_ends <= end and data[behind] == _SCORE
    kind = int(PieceKind.NORMAL)
    if scored and score_ends + 2 == end and data[score_ends] == _KIND and data[end - 1] < 0x80:
        kind, score_ends = data[end - 1], end
    if not scored or score_ends != end:
        return _any_piece(data, start, end, budget)
    budget.spend(2)
    return Piece(text(data, start + 2, behind, "a piece"), _FLOAT.unpack_from(data, behind + 1)[0], kind)


def _any_piece(data: bytes, start: int, end: int, budget: Budget) -> Piece:
    name, score, kind = "", 0.0, int(PieceKind.NORMAL)
    for key, first, last in _fields(data, start, end, budget):
        if key == _TEXT:
            name = text(data, first, last, "a piece")
        elif key == _SCORE:
            score = _FLOAT.unpack_from(data, first)[0]
        elif key == _KIND:
            kind = first
    return Piece(name, score, kind)


def _read_trainer(model: SentencePieceFile, data: bytes, start: int, end: int, budget: Budget) -> None:
    for key, first, _ in _fields(data, start, end, budget):
        if key == _MODEL_TYPE:
            model.model_type = first
        elif key == _UNKNOWN:
            model.unknown = first
        elif key == _BYTES:
            model.byte_fallback = bool(first)
        elif key == _SUFFIXED:
            model.spaces_behind_words = bool(first)


def _read_normalizer(model: SentencePieceFile, data: bytes, start: int, end: int, budget: Budget) -> None:
    for key, first, last in _fields(data, start, end, budget):
        if key == _CHARSMAP:
            model.charsmap = data[first:last]
        elif key == _DUMMY_PREFIX:
            model.add_dummy_prefix = bool(first)
        elif key == _NO_EXTRA_SPACES:
            model.remove_extra_whitespaces = bool(first)
        elif key == _ESCAPES:
            model.escape_whitespaces = bool(first)
