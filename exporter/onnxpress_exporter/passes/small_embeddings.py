"""Gather(table, ids) -> GatherBlockQuantized(packed table, ids): embeddings of 8 or 4 bits, read a row at a time.

The table is often a third of an encoder's weights, and half of a small one's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx_ir
from numpy.typing import NDArray

from onnxpress_exporter.passes.graph import (
    MICROSOFT,
    add_constant,
    add_node,
    axes,
    constant,
    consumers,
    nodes,
    remove_dead,
    replace,
)
from onnxpress_exporter.passes.tied_embeddings import reads_rows
from onnxpress_exporter.passes.weight_only import BlockWeights, pack

#: Tables with fewer numbers stay: token types, and the positions of short models.
LEAST_NUMBERS = 100_000

Rounding = Callable[[NDArray[Any], int], BlockWeights]

#: The smallest block that the operator takes.
_LEAST_BLOCK = 16
#: Rows that are rounded at once: a table past 2 GB must not be in memory several times over.
_ROWS_AT_ONCE = 65_536


def small_embeddings(model: onnx_ir.Model, rounding: Rounding, block: int) -> int:
    """Quantize every large table that is read by rows, in place; how many.

    Args:
        rounding: float32 (channels, rows), block -> its integers, in blocks of so many channels.
        block: the largest block, a power of two; a table whose width it does not divide gets a smaller one.
    """
    count = 0
    for node in nodes(model, "Gather"):
        value, table = node.inputs[0], constant(node.inputs[0])
        if value is None or table is None or table.ndim != 2 or table.dtype != np.float32:
            continue
        if table.size < LEAST_NUMBERS or value.is_graph_output():
            continue
        # A table that something else reads whole would stay beside its integers.
        if not all(reads_rows(model, reader, value) for reader in consumers(value)):
            continue
        size = next((candidate for candidate in _blocks(block) if table.shape[1] % candidate == 0), None)
        if size is None:
            continue
        rows, scales, zeros, bits = _rounded(table, rounding, size)
        name, output = str(value.name), node.outputs[0]
        inputs = [
            add_constant(model.graph, f"{name}_rows", rows),
            node.inputs[1],
            add_constant(model.graph, f"{name}_scales", scales),
            add_constant(model.graph, f"{name}_zeros", zeros),
        ]
        read = add_node(
            node,
            "GatherBlockQuantized",
            inputs,
            dtype=output.dtype,
            shape=axes(output),
            domain=MICROSOFT,
            attributes={"bits": bits, "block_size": size, "gather_axis": 0, "quantize_axis": 1},
        )
        replace(output, read)
        count += 1
    if count:
        model.opset_imports[MICROSOFT] = 1
        remove_dead(model)
    return count


def _blocks(largest: int) -> Iterator[int]:
    while largest >= _LEAST_BLOCK:
        yield largest
        largest //= 2


def _rounded(
    table: NDArray[Any], rounding: Rounding, block: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.uint8], int]:
    """Packed rows, their scales and packed zeros, and the bits: all (rows, ...), as the operator wants them."""
    parts = [
        rounding(np.ascontiguousarray(table[start : start + _ROWS_AT_ONCE].T), block)
        for start in range(0, len(table), _ROWS_AT_ONCE)
    ]
    bits = parts[0].bits
    rows = np.concatenate([pack(part.integers.T.astype(np.uint8), bits) for part in parts])
    zeros = np.concatenate([pack(part.zeros.T.astype(np.uint8), bits) for part in parts])
    return rows, np.concatenate([part.scales.T for part in parts]), zeros, bits
