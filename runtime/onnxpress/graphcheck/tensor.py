"""One TensorProto of an untrusted graph: does it hold what its shape says, and from where?

The weights themselves are never read: sizes are compared, and data that stands in another file is
located. ONNX Runtime 1.31 makes most of these checks as well, with errors of its own. It does not mind
a location with a NUL (it opens what stands before), a segment (it ignores it), or raw data beside
external data; and nothing is known of the older versions that onnxpress accepts.

Layout: `TensorProto` in https://github.com/onnx/onnx/blob/main/onnx/onnx.proto (IR version 13).
This module knows nothing of nodes and graphs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from onnxpress.errors import ArtifactError, CorruptFile, MissingFile, UnsupportedFormat
from onnxpress.graphcheck.protowire import (
    FIXED32,
    FIXED64,
    VARINT,
    Budget,
    Buffer,
    Message,
    damaged,
    fields,
    forged,
    packed_varints,
    tag,
    text,
    varint,
)

MAX_RANK: Final = 64
_MAX_ENTRIES: Final = 64
MAX_ELEMENTS: Final = 1 << 48

# onnx.TensorProto.DataType -> (bits of one element, field that holds elements when raw_data does not)
_FLOATS, _INT32S, _STRINGS, _INT64S, _DOUBLES, _UINT64S = 4, 5, 6, 7, 10, 11
_TYPES: Final = {
    1: (32, _FLOATS),  # float
    2: (8, _INT32S),  # uint8
    3: (8, _INT32S),  # int8
    4: (16, _INT32S),  # uint16
    5: (16, _INT32S),  # int16
    6: (32, _INT32S),  # int32
    7: (64, _INT64S),  # int64
    8: (0, _STRINGS),  # string
    9: (8, _INT32S),  # bool
    10: (16, _INT32S),  # float16
    11: (64, _DOUBLES),  # double
    12: (32, _UINT64S),  # uint32
    13: (64, _UINT64S),  # uint64
    14: (64, _FLOATS),  # complex64, as pairs
    15: (128, _DOUBLES),  # complex128, as pairs
    16: (16, _INT32S),  # bfloat16
    17: (8, _INT32S),  # float8e4m3fn
    18: (8, _INT32S),  # float8e4m3fnuz
    19: (8, _INT32S),  # float8e5m2
    20: (8, _INT32S),  # float8e5m2fnuz
    21: (4, _INT32S),  # uint4, two in a byte
    22: (4, _INT32S),  # int4
    23: (4, _INT32S),  # float4e2m1
    24: (8, _INT32S),  # float8e8m0
    25: (2, _INT32S),  # uint2, four in a byte
    26: (2, _INT32S),  # int2
}
_COMPLEX: Final = frozenset({14, 15})

_DIM, _DIMS = tag(1, VARINT), tag(1)
_TYPE, _SEGMENT, _NAME, _RAW = tag(2, VARINT), tag(3), tag(8), tag(9)
_EXTERNAL, _PLACE = tag(13), tag(14, VARINT)
# Elements by field: how one is written alone, and how many bytes one takes in a packed list (0: varints).
_ALONE: Final = {
    tag(_FLOATS, FIXED32): _FLOATS,
    tag(_INT32S, VARINT): _INT32S,
    tag(_STRINGS): _STRINGS,
    tag(_INT64S, VARINT): _INT64S,
    tag(_DOUBLES, FIXED64): _DOUBLES,
    tag(_UINT64S, VARINT): _UINT64S,
}
_PACKED: Final = {
    tag(_FLOATS): (_FLOATS, 4),
    tag(_INT32S): (_INT32S, 0),
    tag(_INT64S): (_INT64S, 0),
    tag(_DOUBLES): (_DOUBLES, 8),
    tag(_UINT64S): (_UINT64S, 0),
}
TENSOR: Final = Message(
    "a tensor",
    once=frozenset({_TYPE, _SEGMENT, _NAME, _RAW, _PLACE, tag(12)}),
    many=frozenset({_DIM, _DIMS, _EXTERNAL, tag(16), *_ALONE, *_PACKED}),
)
_KEY, _VALUE = tag(1), tag(2)
_ENTRY: Final = Message("an external data entry", once=frozenset({_KEY, _VALUE}))

# What no exporter puts into a file name. The asterisk also shuts out `*/_ORT_MEM_ADDR_/*`, the
# location by which ONNX Runtime marks that `offset` is an address in its own memory.
_UNSAFE: Final = re.compile(r'[\\:*?"<>|\x00-\x1f\x7f]')
_DECIMAL: Final = re.compile(r"[0-9]{1,19}")


@dataclass(frozen=True, slots=True)
class ExternalSlice:
    """Where in which other file a tensor's data stands; `offset` and `length` in bytes."""

    location: str
    offset: int
    length: int


@dataclass(slots=True)
class ExternalFiles:
    """The files beside a graph that its tensors may use: below `folder`, once links are resolved
    inside one of `allowed` (resolved paths). `sizes_bytes` holds those that were asked for."""

    folder: Path
    allowed: tuple[Path, ...]
    sizes_bytes: dict[str, int] = field(default_factory=dict)

    def size_bytes(self, location: str) -> int:
        """The size of the file at `location`.

        Raises CorruptFile when it lies elsewhere or is no file, MissingFile when it is not there.
        """
        if location not in self.sizes_bytes:
            self.sizes_bytes[location] = self._look(location)
        return self.sizes_bytes[location]

    def _look(self, location: str) -> int:
        shown = _checked_location(location)
        try:
            real = (self.folder / location).resolve(strict=True)
            size = real.stat().st_size
        except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, before Python 3.13
            reason = getattr(error, "strerror", None) or "a loop of links"
            raise MissingFile(f"{shown} cannot be read ({reason}); export or download the artifact again") from None
        if not any(real.is_relative_to(root) for root in self.allowed):
            raise forged(f"{shown} leads outside of the artifact, to {real}")
        if not real.is_file():
            raise forged(f"{shown} is not a regular file")
        return size


class ListedFiles(ExternalFiles):
    """Files that need not be there yet: what is asked for is listed, and has any size."""

    __slots__ = ()

    def _look(self, location: str) -> int:
        _checked_location(location)
        return 1 << 63


def _checked_location(location: str) -> str:
    """A location in words for messages.

    Raises:
        CorruptFile: it is no plain path.
    """
    shown = f"external data {location!r}"
    if _UNSAFE.search(location) or not {"", ".", ".."}.isdisjoint(location.split("/")):
        raise forged(f"{shown} is not a plain relative path below the folder of the graph")
    return shown


@dataclass(frozen=True, slots=True)
class Tensor:
    """What a tensor says of itself: its name, its shape, and the bytes of its data."""

    name: str
    shape: tuple[int, ...]
    size_bytes: int


@dataclass(slots=True)
class _Parts:
    """The fields of a TensorProto, before they are compared with each other."""

    name: str = ""
    element_type: int = 0
    place: int = 0
    raw_bytes: int | None = None
    dims: list[int] = field(default_factory=list)
    counts: dict[int, int] = field(default_factory=dict)
    entries: list[tuple[int, int]] = field(default_factory=list)


def read_tensor(data: Buffer, start: int, end: int, files: ExternalFiles, budget: Budget) -> Tensor:
    """Check the TensorProto in `data[start:end]`.

    Raises CorruptFile: sizes that contradict each other, data outside of the allowed folders.
    Raises MissingFile: external data that is not there. Raises UnsupportedFormat: an element type
    that is unknown, or a segmented tensor (ONNX Runtime ignores the segment and reads it wrong).
    """
    parts = _read(data, start, end, budget)
    shown = f"tensor {parts.name!r}"
    if parts.element_type not in _TYPES:
        raise UnsupportedFormat(
            f"{shown} has element type {parts.element_type}, which this version does not know; upgrade onnxpress"
        )
    bits, number = _TYPES[parts.element_type]
    elements = _elements(shown, parts.dims)
    size_bytes = (elements * bits + 7) // 8
    inline = parts.raw_bytes is not None
    if parts.place == 1:
        if inline or parts.counts or number == _STRINGS:
            raise forged(f"{shown} cannot have external data beside its own, nor of its type")
        _check_slice(shown, _external(shown, data, parts.entries, budget), size_bytes, files)
    elif parts.place or parts.entries:
        raise damaged(f"{shown} contradicts itself about where its data is")
    elif inline:
        if parts.raw_bytes != size_bytes or parts.counts or number == _STRINGS:
            raise damaged(f"{shown} of shape {parts.dims} needs {size_bytes} bytes and has {parts.raw_bytes}")
    else:
        expected = _expected_count(parts.element_type, elements, size_bytes, bits)
        if parts.counts.pop(number, 0) != expected or any(parts.counts.values()):
            raise damaged(f"{shown} of shape {parts.dims} does not hold {expected} values")
    return Tensor(parts.name, tuple(parts.dims), size_bytes)


def _read(data: Buffer, start: int, end: int, budget: Budget) -> _Parts:
    parts = _Parts()
    for key, first, last in fields(data, start, end, TENSOR, budget):
        if key == _DIM:
            parts.dims.append(first)
        elif key == _TYPE:
            parts.element_type = first
        elif key == _NAME:
            parts.name = text(data, first, last, "the name of a tensor")
        elif key == _RAW:
            parts.raw_bytes = last - first
        elif key == _PLACE:
            parts.place = first
        elif key == _EXTERNAL:
            parts.entries.append((first, last))
        elif key in _ALONE:
            parts.counts[_ALONE[key]] = parts.counts.get(_ALONE[key], 0) + 1
        elif key in _PACKED:
            number, width_bytes = _PACKED[key]
            count = _packed(data, first, last, width_bytes)
            parts.counts[number] = parts.counts.get(number, 0) + count
        elif key == _DIMS:
            parts.dims.extend(_packed_dims(data, first, last, budget))
        elif key == _SEGMENT:
            raise UnsupportedFormat("a tensor is cut into segments; export the model again")
        if len(parts.dims) > MAX_RANK or len(parts.entries) > _MAX_ENTRIES:
            raise forged(f"tensor {parts.name!r} has more dimensions or entries than any real one")
    return parts


def _elements(shown: str, dims: list[int]) -> int:
    """The product of `dims`. Zeros do not excuse what stands beside them: kernels multiply in parts."""
    product, empty = 1, False
    for dim in dims:
        if dim >> 63:
            raise damaged(f"{shown} has a negative dimension")
        empty = empty or dim == 0
        product *= dim or 1
        if product > MAX_ELEMENTS:
            raise forged(f"{shown} has an absurd shape, {dims}")
    return 0 if empty else product


def _expected_count(element_type: int, elements: int, size_bytes: int, bits: int) -> int:
    """How many entries the typed list of a tensor holds: pairs for complex, bytes for small types."""
    if element_type in _COMPLEX:
        return 2 * elements
    return size_bytes if 0 < bits < 8 else elements


def _packed(data: Buffer, first: int, last: int, width_bytes: int) -> int:
    if not width_bytes:
        return packed_varints(data, first, last)
    count, rest = divmod(last - first, width_bytes)
    if rest:
        raise damaged("a list of numbers of a tensor is cut off")
    return count


def _packed_dims(data: Buffer, first: int, last: int, budget: Budget) -> list[int]:
    """Dims are written one by one, but a reader of protobuf has to take them packed as well."""
    dims: list[int] = []
    while first < last:
        budget.spend(1)
        dim, first = varint(data, first, last)
        dims.append(dim)
    return dims


def _external(shown: str, data: Buffer, entries: list[tuple[int, int]], budget: Budget) -> dict[str, str]:
    """The key-value entries that say where external data is; keys we do not know do no harm."""
    values: dict[str, str] = {}
    for start, end in entries:
        pair = {_KEY: "", _VALUE: ""}
        for key, first, last in fields(data, start, end, _ENTRY, budget):
            pair[key] = text(data, first, last, f"external data of {shown}")
        if pair[_KEY] in values:
            raise forged(f"{shown} gives {pair[_KEY]!r} of its external data twice")
        values[pair[_KEY]] = pair[_VALUE]
    return values


def _check_slice(shown: str, entries: dict[str, str], size_bytes: int, files: ExternalFiles) -> ExternalSlice:
    for key in ("offset", "length"):
        if key in entries and not _DECIMAL.fullmatch(entries[key]):
            raise damaged(f"{shown} has external data with {key} {entries[key][:40]!r}")
    if "location" not in entries:
        raise damaged(f"{shown} has external data without a location")
    piece = ExternalSlice(entries["location"], int(entries.get("offset", "0")), int(entries.get("length", size_bytes)))
    try:
        available = files.size_bytes(piece.location)
    except ArtifactError as error:
        raise type(error)(f"{shown}: {error}") from None
    if piece.length != size_bytes:
        raise damaged(f"{shown} needs {size_bytes} bytes, its external data has {piece.length}")
    if piece.offset + piece.length > available:
        raise CorruptFile(
            f"{shown} reads bytes {piece.offset} to {piece.offset + piece.length} of "
            f"{piece.location!r}, which has {available}; export or download the artifact again"
        )
    return piece
