"""Products with one expert's weights out of a constant of all experts' -> products with constants of their own.

    MatMul(x, Squeeze(Split(W)[e]))   W constant (experts, in, out), or Transpose of (experts, out, in)
    -> MatMul(x, W[e])                constant (in, out)

So that what quantizes products sees them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx_ir

from onnxpress_exporter.passes.graph import (
    add_constant,
    attribute_int,
    attribute_ints,
    constant,
    nodes,
    producer,
    remove_dead,
)


def expert_weights(model: onnx_ir.Model) -> int:
    """Rewrite every such product, in place; how many there were."""
    count = 0
    for node in nodes(model, "MatMul"):
        squeeze = producer(node.inputs[1], "Squeeze")
        split = None if squeeze is None else producer(squeeze.inputs[0], "Split")
        if squeeze is None or split is None or attribute_int(split, "axis", 0) != 0:
            continue
        array = _all_experts(split.inputs[0])
        if array is None or array.ndim != 3 or array.shape[0] != len(split.outputs):
            continue
        expert = next(number for number, output in enumerate(split.outputs) if output is squeeze.inputs[0])
        name = f"{node.outputs[0].name}_expert_{expert}"
        node.replace_input_with(1, add_constant(model.graph, name, np.ascontiguousarray(array[expert])))
        count += 1
    if count:
        remove_dead(model)
    return count


def _all_experts(value: onnx_ir.Value | None) -> npt.NDArray[np.generic] | None:
    """The array of a constant, or of one whose last two axes change places."""
    turned = producer(value, "Transpose")
    if turned is None:
        return constant(value)
    array = constant(turned.inputs[0])
    return None if array is None or attribute_ints(turned, "perm") != (0, 2, 1) else array.transpose(0, 2, 1)
