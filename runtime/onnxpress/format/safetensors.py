"""Reads small safetensors files, such as those of a layer after pooling, with numpy alone.

The format: https://github.com/huggingface/safetensors#format. The file may be hostile: sizes are bounded and compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.errors import CorruptFile
from onnxpress.format.strict_json import parse_json

#: More than a layer of a few thousand by a few thousand numbers takes.
MAX_BYTES = 1 << 30
_MAX_HEADER_BYTES = 1 << 20
_MAX_AXES = 8
_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


def read_floats(path: Path) -> dict[str, NDArray[np.float32]]:
    """The tensors of a file, by name, as float32.

    Raises:
        CorruptFile: it is no such file, is larger than a layer is, or has tensors of something else than floats.
    """
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise CorruptFile(f"{path}: {size} bytes are more than a layer has ({MAX_BYTES}).")
    data = path.read_bytes()
    try:
        length = int.from_bytes(data[:8], "little")
        if len(data) < 8 or length > min(_MAX_HEADER_BYTES, len(data) - 8):
            raise ValueError("its header runs past the end")
        header = parse_json(data[8 : 8 + length])
        if not isinstance(header, dict):
            raise ValueError("its header is no object")
        tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
        return {name: _tensor(entry, data[8 + length :]) for name, entry in tensors.items()}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CorruptFile(f"{path}: not a safetensors file ({error}). Download it again.") from None


def _tensor(entry: Mapping[str, Any], data: bytes) -> NDArray[np.float32]:
    if entry["dtype"] not in _DTYPES:
        raise ValueError(f"its numbers are {entry['dtype']}")
    dtype = np.dtype(_DTYPES[entry["dtype"]])
    shape, (start, end) = entry["shape"], entry["data_offsets"]
    whole = all(isinstance(number, int) and number >= 0 for number in (*shape, start, end))
    if not whole or len(shape) > _MAX_AXES or end > len(data) or end - start != prod(shape) * dtype.itemsize:
        raise ValueError("a tensor has not the size of its shape")
    array = np.frombuffer(data[start:end], dtype).reshape(shape)
    if entry["dtype"] == "BF16":
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32)
