"""A bias before GELU -> one node, as GPUs want it.

Gelu(Add(x, bias))                     -> BiasGelu(x, bias)
Gelu(Add(x, bias)), approximated; FastGelu(Add(x, bias)) -> FastGelu(x, bias)
"""

from __future__ import annotations

import onnx_ir

from onnxpress_exporter.passes.graph import (
    MICROSOFT,
    add_node,
    axes,
    constant,
    consumers,
    nodes,
    producer,
    remove_dead,
    replace,
)


def bias_gelu(model: onnx_ir.Model) -> int:
    """Rewrite every GELU of `model` that follows a bias, in place; how many there were."""
    count = 0
    for gelu in nodes(model, "Gelu", "FastGelu"):
        add = producer(gelu.inputs[0], "Add")
        if add is None or len(gelu.inputs) != 1 or len(consumers(add.outputs[0])) != 1:
            continue
        width = (axes(add.outputs[0]) or (None,))[-1]
        biases = [term for term in add.inputs if (array := constant(term)) is not None and array.shape == (width,)]
        if len(biases) != 1 or add.outputs[0].is_graph_output():
            continue
        (x,) = (term for term in add.inputs if term is not biases[0])
        approximate = gelu.attributes.get("approximate")
        exact = gelu.op_type == "Gelu" and (approximate is None or approximate.as_string() == "none")
        kind = "BiasGelu" if exact else "FastGelu"
        replace(gelu.outputs[0], add_node(gelu, kind, [x, biases[0]], like=gelu.outputs[0], domain=MICROSOFT))
        count += 1
    if count:
        model.opset_imports[MICROSOFT] = 1
        remove_dead(model)
    return count
