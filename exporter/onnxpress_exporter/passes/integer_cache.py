"""Keys and values are kept in 8 bits, a quarter of the memory: GroupQueryAttention rounds what it writes, and restores
what it reads.

GroupQueryAttention(..., past keys, past values float32, ...)
-> GroupQueryAttention(..., past keys, past values int8, ..., scales of keys, scales of values)

The graph's inputs and outputs of these names become int8. Symmetric, a constant scale for each channel of each head.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir
from numpy.typing import NDArray

from onnxpress_exporter.passes.graph import MICROSOFT, add_constant, nodes

#: Places of GroupQueryAttention's inputs: keys and values that were read, and their scales.
_PAST, _SCALES = (3, 4), (12, 13)
_FLOAT, _INT8 = onnx_ir.DataType.FLOAT, onnx_ir.DataType.INT8
#: The largest integer: -128 is left out, so that 0 is in the middle.
LARGEST = 127
#: Channels that are never larger are taken for this large: they have a scale, too.
LEAST = np.float32(1e-6)


def cached(model: onnx_ir.Model) -> list[str]:
    """Names of the keys and values that attention returns in the place of a cache that may hold integers."""
    return [str(output.name) for node in _attentions(model) for output in node.outputs[1:]]


def integer_cache(model: onnx_ir.Model, largest: Mapping[str, NDArray[np.float32]]) -> int:
    """Let the caches of `model` hold integers, in place; how many attentions there were.

    Args:
        largest: of each of `cached`, float32 (heads, size): how large each channel gets.
    """
    attentions = _attentions(model)
    for node in attentions:
        node.resize_inputs(max(len(node.inputs), _SCALES[1] + 1))
        for past_place, scale_place, output in zip(_PAST, _SCALES, node.outputs[1:], strict=True):
            past, name = node.inputs[past_place], str(output.name)
            scales = np.maximum(largest[name].reshape(-1), LEAST) / np.float32(LARGEST)
            node.replace_input_with(scale_place, add_constant(model.graph, f"{name}.scales", scales))
            for value in (past, output):
                if value is not None:
                    value.type = onnx_ir.TensorType(_INT8)
        for part in ("k", "v"):
            node.attributes[f"{part}_quant_type"] = onnx_ir.AttrString(f"{part}_quant_type", "PER_CHANNEL")
        node.attributes["kv_cache_bit_width"] = onnx_ir.AttrInt64("kv_cache_bit_width", 8)
    return len(attentions)


def _attentions(model: onnx_ir.Model) -> list[onnx_ir.Node]:
    """The attentions whose keys and values are inputs of the graph, float32."""
    return [
        node
        for node in nodes(model, "GroupQueryAttention")
        if node.domain == MICROSOFT
        and all(
            (past := node.inputs[place]) is not None and past.is_graph_input() and past.dtype == _FLOAT
            for place in _PAST
        )
    ]
