"""Writes a small ONNX graph, without the onnx package: a chain of operators with their weights.

Field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto (IR version 8). Knows no operator.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from onnxpress.graphcheck.protowire import FIXED32, LENGTH, VARINT, tag

IR_VERSION, OPSET = 8, 17
_FLOAT = 1  # TensorProto.DataType
_UNSIGNED = (1 << 64) - 1
_IS_FLOAT, _IS_INT = 1, 2  # AttributeProto.AttributeType


@dataclass(frozen=True, slots=True)
class Node:
    """An operator of ai.onnx. `attributes`: whole numbers and floats."""

    kind: str
    inputs: Sequence[str]
    output: str
    attributes: Mapping[str, int | float] = field(default_factory=dict)


def graph_bytes(
    nodes: Iterable[Node], weights: Mapping[str, NDArray[np.float32]], takes: tuple[str, int], returns: tuple[str, int]
) -> bytes:
    """A model of float32 (batch, width) -> float32 (batch, width).

    Args:
        takes: the input's name and width.
        returns: the output's.
    """
    graph = [
        *(_message(1, _node(node)) for node in nodes),
        _text(2, "graph"),
        *(_message(5, _tensor(name, array)) for name, array in weights.items()),
        _message(11, _value(*takes)),
        _message(12, _value(*returns)),
    ]
    opset = [_text(1, ""), _number(2, OPSET)]
    return b"".join([_number(1, IR_VERSION), _text(2, "onnxpress"), _message(7, graph), _message(8, opset)])


def _node(node: Node) -> list[bytes]:
    return [
        *(_text(1, name) for name in node.inputs),
        _text(2, node.output),
        _text(4, node.kind),
        *(_message(5, _attribute(name, value)) for name, value in node.attributes.items()),
    ]


def _attribute(name: str, value: int | float) -> list[bytes]:
    if isinstance(value, int):
        return [_text(1, name), _number(3, value & _UNSIGNED), _number(20, _IS_INT)]
    return [_text(1, name), _varint(tag(2, FIXED32)) + struct.pack("<f", value), _number(20, _IS_FLOAT)]


def _tensor(name: str, array: NDArray[np.float32]) -> list[bytes]:
    data = np.ascontiguousarray(array, "<f4").tobytes()
    return [*(_number(1, size) for size in array.shape), _number(2, _FLOAT), _text(8, name), _bytes(9, data)]


def _value(name: str, width: int) -> list[bytes]:
    axes = [_message(1, [_text(2, "batch")]), _message(1, [_number(1, width)])]
    return [_text(1, name), _message(2, [_message(1, [_number(1, _FLOAT), _message(2, axes)])])]


def _message(number: int, parts: Iterable[bytes]) -> bytes:
    return _bytes(number, b"".join(parts))


def _text(number: int, text: str) -> bytes:
    return _bytes(number, text.encode())


def _bytes(number: int, data: bytes) -> bytes:
    return _varint(tag(number, LENGTH)) + _varint(len(data)) + data


def _number(number: int, value: int) -> bytes:
    return _varint(tag(number, VARINT)) + _varint(value)


def _varint(value: int) -> bytes:
    pieces = []
    while value > 0x7F:
        pieces.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*pieces, value])
