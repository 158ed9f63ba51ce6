"""Gather(table, ids) -> GatherBlockQuantized(packed table, ids): embeddings of 8 or 4 bits, read a row at a time.

The table is often a third of an encoder's weights, and half of a small one's.
"""

from __future__ import annotations

from collections.abc import Callable
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

Rounding = Callable[[NDArray[Any]], BlockWeights]


def small_embeddings(model: onnx_ir.Model, rounding: Rounding, block: int) -> int:
    """Quantize every large table that is read by rows, in place; how many.

    Args:
        rounding: float32 (channels, rows) -> its integers, in blocks of `block` channels.
    """
    count = 0
    for node in nodes(model, "Gather"):
        value, table = node.inputs[0], constant(node.inputs[0])
        if value is None or table is None or table.ndim != 2 or table.dtype != np.float32:
            continue
        if table.size < LEAST_NUMBERS or table.shape[1] % block or value.is_graph_output():
            continue
        # A table that something else reads whole would stay beside its integers.
        if not all(reads_rows(model, one, value) for one in consumers(value)):
            continue
        rounded = rounding(np.ascontiguousarray(table.T))
        name, output = str(value.name), node.outputs[0]
        inputs = [
            add_constant(model.graph, f"{name}_rows", pack(rounded.integers.T.astype(np.uint8), rounded.bits)),
            node.inputs[1],
            add_constant(model.graph, f"{name}_scales", rounded.scales.T),
            add_constant(model.graph, f"{name}_zeros", pack(rounded.zeros.T.astype(np.uint8), rounded.bits)),
        ]
        rows = add_node(
            node,
            "GatherBlockQuantized",
            inputs,
            dtype=output.dtype,
            shape=axes(output),
            domain=MICROSOFT,
            attributes={"bits": rounded.bits, "block_size": block, "gather_axis": 0, "quantize_axis": 1},
        )
        replace(output, rows)
        count += 1
    if count:
        model.opset_imports[MICROSOFT] = 1
        remove_dead(model)
    return count
