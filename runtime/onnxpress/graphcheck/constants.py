"""Small constants of whole numbers in an untrusted graph: what a size is computed from that the file itself says.

Only what stands in a few bytes is read: shapes and counts do. Knows nothing of nodes.
"""

from __future__ import annotations

import struct
from typing import Final

from onnxpress.graphcheck.protowire import VARINT, Budget, Buffer, fields, tag, varint
from onnxpress.graphcheck.tensor import TENSOR

#: A longer tensor is no shape.
_MAX_BYTES: Final = 1024
_INT64: Final = 7
_TYPE, _NUMBERS, _NUMBER, _RAW = tag(2, VARINT), tag(7), tag(7, VARINT), tag(9)


def product_of(data: Buffer, start: int, end: int, budget: Budget) -> int:
    """The product of the numbers above 0 in the TensorProto in `data[start:end]`; 1 where it holds no int64, or many.

    The tensor was found whole by `read_tensor`.
    """
    if end - start > _MAX_BYTES:
        return 1
    kind, numbers = 0, []
    for key, first, last in fields(data, start, end, TENSOR, budget):
        if key == _TYPE:
            kind = first
        elif key == _RAW and (last - first) % 8 == 0:
            numbers = [number for (number,) in struct.iter_unpack("<q", data[first:last])]
        elif key == _NUMBER:
            numbers.append(first)
        elif key == _NUMBERS:
            while first < last:
                number, first = varint(data, first, last)
                numbers.append(number)
    product = 1
    for number in numbers if kind == _INT64 else ():
        product *= number if 0 < number < 1 << 63 else 1
    return product
