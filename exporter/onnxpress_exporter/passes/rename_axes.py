"""Gives the axes of a graph's inputs and outputs the names that other tools give them."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir

from onnxpress_exporter.passes.graph import axes

#: Our name -> theirs. What a row's past has room for is as long as the past, to them.
NAMES: Mapping[str, str] = {
    "rows": "batch_size",
    "texts": "batch_size",
    "batch": "batch_size",
    "sequence": "sequence_length",
    "kept": "sequence_length",
    "encoder_sequence": "encoder_sequence_length",
    "capacity": "past_sequence_length",
    "past": "past_sequence_length",
    "total": "total_sequence_length",
}


def rename_axes(model: onnx_ir.Model) -> int:
    """How many inputs and outputs had an axis of another name."""
    renamed = 0
    for values, later in ((model.graph.inputs, {}), (model.graph.outputs, {"capacity": "total_sequence_length"})):
        names = {**NAMES, **later}
        for value in values:
            before = axes(value)
            after = [names.get(axis, axis) if isinstance(axis, str) else axis for axis in before or ()]
            if before is not None and list(before) != after:
                value.shape = onnx_ir.Shape(after)
                renamed += 1
    return renamed
