"""The protobuf wire format, read in place from bytes or a memory map, for input that may be hostile.

A message is a run of fields; a field is a tag (number * 8 + wire type) and a payload: a varint, four
or eight fixed bytes, or a length and that many bytes. Nothing here copies a payload, so stepping over
half a gigabyte of weights costs what stepping over a name costs. A tag that the caller's `Message`
does not list is refused: older files cannot hold it, and newer ones are refused by their version
before. So is a second value of a field that holds one: protobuf merges the two, and a check that saw
each alone would have checked neither.

Encoding: https://protobuf.dev/programming-guides/encoding. This module does not know what ONNX is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from mmap import mmap
from typing import Final

from onnxpress.errors import CorruptFile

Buffer = bytes | mmap

VARINT: Final = 0
FIXED64: Final = 1
LENGTH: Final = 2
FIXED32: Final = 5

MAX_VARINT_BYTES: Final = 10
MAX_TEXT_BYTES: Final = 1 << 16
_CHUNK_BYTES: Final = 1 << 20
_CONTINUATION: Final = bytes(range(0x80, 0x100))
_OVERLONG: Final = re.compile(rb"[\x80-\xff]{%d}" % MAX_VARINT_BYTES)


def damaged(what: str) -> CorruptFile:
    """The error for bytes that no exporter writes by intent. The caller names the file."""
    return CorruptFile(f"{what}: the file is damaged; export or download the artifact again")


def forged(what: str) -> CorruptFile:
    """The error for bytes that only somebody with a purpose writes. The caller names the file."""
    return CorruptFile(f"{what}: do not trust this file; get the artifact from its author again")


@dataclass(slots=True)
class Budget:
    """How many more fields may be read: what bounds the time, whatever the file says."""

    left: int

    def spend(self, fields: int) -> None:
        """Raise CorruptFile once more fields were read than any real graph holds."""
        self.left -= fields
        if self.left < 0:
            raise forged("it holds an absurd number of fields")


@dataclass(frozen=True, slots=True)
class Message:
    """The tags that a message may hold: `once` at most one of each, `many` any number."""

    name: str
    once: frozenset[int]
    many: frozenset[int] = frozenset()


def tag(number: int, wire: int = LENGTH) -> int:
    """Field number and wire type as one integer, as they stand in the file."""
    return number << 3 | wire


def varint(data: Buffer, start: int, end: int) -> tuple[int, int]:
    """Read the varint at `start`: its unsigned 64-bit value, and where the next thing begins."""
    value = shift = 0
    for position in range(start, start + MAX_VARINT_BYTES):
        if position >= end:
            raise damaged("an integer is cut off")
        byte = data[position]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >> 64:
                break
            return value, position + 1
        shift += 7
    raise damaged("an integer is longer than 64 bits")


def fields(data: Buffer, start: int, end: int, message: Message, budget: Budget) -> Iterator[tuple[int, int, int]]:
    """Yield `(tag, first, last)` for each field of the message in `data[start:end]`.

    For a varint, `first` is its value; for the other wire types `data[first:last]` is the payload,
    which is certain to lie inside the message.

    Raises CorruptFile: a field runs past the end, is not one of the message's, has another wire type
    than it should, or comes twice where one is allowed. Raises IndexError: `data` itself ends.
    """
    once, many = message.once, message.many
    seen = 0
    position = start
    while position < end:
        budget.left -= 1
        if budget.left < 0:
            budget.spend(0)
        key = data[position]
        position += 1
        if key > 0x7F:
            key, position = varint(data, position - 1, end)
        if key in once:
            if seen >> key & 1:
                raise forged(f"{message.name} holds field {key >> 3} twice")
            seen |= 1 << key
        elif key not in many:
            raise damaged(f"{message.name} holds an unknown field ({key >> 3}, type {key & 7})")
        wire = key & 7
        if wire == LENGTH:
            size = data[position]
            position += 1
            if size > 0x7F:  # two bytes, up to 16 KiB, without the cost of a call
                high = data[position]
                if high < 0x80:
                    size += (high << 7) - 0x80
                    position += 1
                else:
                    size, position = varint(data, position - 1, end)
            last = position + size
        elif wire == VARINT:
            value, position = varint(data, position, end)
            yield key, value, position
            continue
        else:
            last = position + (4 if wire == FIXED32 else 8)
        if last > end:
            raise damaged(f"field {key >> 3} of {message.name} runs past the end of it")
        yield key, position, last
        position = last


def packed_varints(data: Buffer, start: int, end: int) -> int:
    """Count the varints packed in `data[start:end]`, at the speed of memory."""
    if start == end:
        return 0
    if data[end - 1] > 0x7F or _OVERLONG.search(data, start, end):
        raise damaged("a list of integers is malformed")
    return sum(
        len(data[at : min(at + _CHUNK_BYTES, end)].translate(None, _CONTINUATION))
        for at in range(start, end, _CHUNK_BYTES)
    )


def text(data: Buffer, start: int, end: int, what: str) -> str:
    """Decode a name. `what` is what the name is of, for the message."""
    if end - start > MAX_TEXT_BYTES:
        raise forged(f"{what} takes {end - start:,} bytes")
    try:
        return data[start:end].decode()
    except UnicodeDecodeError:
        raise damaged(f"{what} is not UTF-8") from None
