"""Initializers that hold the same -> one, read by all who read any of them.

Layers that share their weights get each their own integers, which are equal where the layers are treated alike.
"""

from __future__ import annotations

import hashlib

import numpy as np
import onnx_ir

from onnxpress_exporter.passes.graph import constant

#: Smaller ones are not worth looking at.
LEAST_BYTES = 128


def share_constants(model: onnx_ir.Model) -> int:
    """Merge equal initializers of the main graph, in place; how many became superfluous."""
    first: dict[tuple[str, tuple[int, ...], bytes], onnx_ir.Value] = {}
    count = 0
    for value in list(model.graph.initializers.values()):
        array = constant(value)
        if array is None or array.nbytes < LEAST_BYTES or value.is_graph_output() or value.is_graph_input():
            continue
        key = (str(value.dtype), array.shape, hashlib.sha256(np.ascontiguousarray(array).data.cast("B")).digest())
        representative = first.setdefault(key, value)
        if representative is not value:
            onnx_ir.convenience.replace_all_uses_with(value, representative)
            del model.graph.initializers[str(value.name)]
            count += 1
    return count
