"""One input or output of an untrusted graph: its name, and its dtype and axes as far as the file tells them.

Field numbers: ValueInfoProto, TypeProto and TensorShapeProto in https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
(IR version 13). This module knows nothing of nodes and graphs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from onnxpress.graphcheck.protowire import VARINT, Budget, Buffer, Message, damaged, fields, forged, tag, text

#: onnx.TensorProto.DataType -> numpy's name, of the types that arrays come and go in.
_NUMBERS: Final = {
    1: ("float", 32),
    2: ("uint", 8),
    3: ("int", 8),
    4: ("uint", 16),
    5: ("int", 16),
    6: ("int", 32),
    7: ("int", 64),
    10: ("float", 16),
    11: ("float", 64),
    12: ("uint", 32),
    13: ("uint", 64),
    16: ("bfloat", 16),
}
_DTYPES: Final = {9: "bool", **{code: f"{kind}{bits}" for code, (kind, bits) in _NUMBERS.items()}}
MAX_AXES: Final = 64

_NAME, _TYPE = tag(1), tag(2)
_VALUE: Final = Message("an input or output", once=frozenset({_NAME, _TYPE, tag(3)}), many=frozenset({tag(4)}))
_TENSOR_TYPE = tag(1)
_TYPES: Final = Message(
    "the type of an input or output", once=frozenset({_TENSOR_TYPE, tag(4), tag(5), tag(6), tag(7), tag(8), tag(9)})
)
_ELEMENT, _SHAPE = tag(1, VARINT), tag(2)
_TENSOR: Final = Message("the type of a tensor", once=frozenset({_ELEMENT, _SHAPE}))
_AXIS = tag(1)
_SHAPES: Final = Message("a shape", once=frozenset(), many=frozenset({_AXIS}))
_SIZE, _SYMBOL = tag(1, VARINT), tag(2)
_AXES: Final = Message("an axis", once=frozenset({_SIZE, _SYMBOL, tag(3)}))


@dataclass(frozen=True, slots=True)
class Value:
    """An input or output. `dtype`: numpy's name; None: no tensor, or one of another type. `axes`: for each axis its
    size, its name, or "" where the file says neither; None: the file does not say how many there are."""

    name: str
    dtype: str | None
    axes: tuple[str | int, ...] | None


def read_value(data: Buffer, start: int, end: int, budget: Budget) -> Value:
    """The ValueInfoProto in `data[start:end]`.

    Raises:
        CorruptFile: it has no name, or is damaged. Without the name of the file.
    """
    name, dtype, axes = "", None, None
    for key, first, last in fields(data, start, end, _VALUE, budget):
        if key == _NAME:
            name = text(data, first, last, "the name of an input or output")
        elif key == _TYPE:
            dtype, axes = _read_type(data, first, last, budget)
    if not name:
        raise damaged("an input or output has no name")
    return Value(name, dtype, axes)


def _read_type(data: Buffer, start: int, end: int, budget: Budget) -> tuple[str | None, tuple[str | int, ...] | None]:
    dtype, axes = None, None
    for kind, at, until in fields(data, start, end, _TYPES, budget):
        if kind != _TENSOR_TYPE:
            continue
        for key, first, last in fields(data, at, until, _TENSOR, budget):
            if key == _ELEMENT:
                dtype = _DTYPES.get(first)
            else:
                spans = fields(data, first, last, _SHAPES, budget)
                axes = tuple(_read_axis(data, begin, finish, budget) for _, begin, finish in spans)
                if len(axes) > MAX_AXES:
                    raise forged(f"an input or output has more than {MAX_AXES} axes")
    return dtype, axes


def _read_axis(data: Buffer, start: int, end: int, budget: Budget) -> str | int:
    axis: str | int = ""
    for key, first, last in fields(data, start, end, _AXES, budget):
        if key == _SIZE:
            axis = first if first < 1 << 63 else ""  # a negative size stands for one that is not known
        elif key == _SYMBOL:
            axis = text(data, first, last, "the name of an axis")
    return axis
