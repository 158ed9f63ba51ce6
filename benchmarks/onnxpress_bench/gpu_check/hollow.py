"""Graphs without their weights: small enough to carry to another machine, which fills them with random numbers.

Random weights are as fast as trained ones. The same graph is filled with the same numbers.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Numbers that are drawn; larger tensors repeat them.
_DRAWN = 1 << 22
#: Of weights that are no integers.
_SPREAD = 0.02


def empty(graph: Path) -> None:
    """Take the files of weights beside a graph away; a file of JSON says what they held."""
    import onnx_ir

    model = onnx_ir.load(graph)
    parts = [
        {"offset": int(tensor.offset or 0), "bytes": int(tensor.nbytes), "dtype": str(tensor.dtype.numpy())}
        for inner in (model.graph, *model.graph.subgraphs())
        for value in inner.initializers.values()
        if isinstance(tensor := value.const_value, onnx_ir.ExternalTensor)
    ]
    data = _data(graph)
    if parts:
        size = data.stat().st_size
        _notes(graph).write_text(json.dumps({"bytes": size, "parts": parts}), encoding="utf-8")
        data.unlink()


def fill(graph: Path) -> None:
    """Make the weights of a graph that was emptied, unless they are there."""
    if not _notes(graph).exists() or _data(graph).exists():
        return
    notes = json.loads(_notes(graph).read_text(encoding="utf-8"))
    generator = np.random.default_rng(0)
    floats = (generator.standard_normal(_DRAWN, np.float32) * _SPREAD).astype(np.float16)
    integers = generator.integers(0, 256, _DRAWN, np.uint8)
    with _data(graph).open("wb") as file:
        file.truncate(notes["bytes"])
        for part in notes["parts"]:
            file.seek(part["offset"])
            file.write(_numbers(np.dtype(part["dtype"]), part["bytes"], floats, integers).tobytes())


def _numbers(dtype: np.dtype[Any], size: int, floats: NDArray[Any], integers: NDArray[Any]) -> NDArray[Any]:
    """`size` bytes of numbers: weights, packed integers, or zeros where they may be places in a table."""
    if dtype.kind == "f":
        return np.resize(floats, size // dtype.itemsize).astype(dtype)
    return np.resize(integers, size) if dtype.itemsize == 1 else np.zeros(size, np.uint8)


def _data(graph: Path) -> Path:
    return graph.with_name(f"{graph.name}_data")


def _notes(graph: Path) -> Path:
    return graph.with_name(f"{graph.name}_data.json")
