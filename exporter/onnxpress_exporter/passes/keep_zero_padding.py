"""MaxPool(Pad(x, pads)) -> MaxPool(Pad(x, pads, axes)): the same, and it stays so.

ONNX Runtime moves a Pad of zeros into the MaxPool behind it, whose own padding counts for less than any number: where
all of a window is below zero, its largest number is then no longer the zero at the border. A Pad that names its axes is
not moved.
"""

from __future__ import annotations

import numpy as np
import onnx_ir

from onnxpress_exporter.passes.graph import add_constant, consumers, ints, nodes, scalar

#: The places of the value and of the axes among Pad's inputs.
_VALUE, _AXES = 2, 3


def keep_zero_padding(model: onnx_ir.Model) -> int:
    """Name the axes, in place; of how many."""
    count = 0
    for node in nodes(model, "Pad"):
        value = node.inputs[_VALUE] if len(node.inputs) > _VALUE else None
        pooled = any(reader.op_type == "MaxPool" for reader in consumers(node.outputs[0]))
        pads = ints(node.inputs[1])
        if not pooled or len(node.inputs) > _AXES or pads is None or (value is not None and scalar(value) != 0):
            continue
        name = f"{node.outputs[0].name}_axes"
        axes = add_constant(model.graph, name, np.arange(len(pads) // 2, dtype=np.int64))
        node.resize_inputs(_AXES + 1)
        node.replace_input_with(_AXES, axes)
        count += 1
    return count
