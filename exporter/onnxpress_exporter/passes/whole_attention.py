"""The nodes of attention as they were before `long_attention`, for passes that look for them.

If(long, ..., graph named "short") -> the nodes of that graph
"""

from __future__ import annotations

import onnx_ir

from onnxpress_exporter.passes.graph import nodes, remove_dead, replace
from onnxpress_exporter.passes.long_attention import LONG, SHORT


def whole_attention(model: onnx_ir.Model) -> int:
    """Put back what every text was computed by, in place; how many branches there were."""
    count = 0
    for node in nodes(model, "If"):
        long, short = (node.attributes[name].as_graph() for name in ("then_branch", "else_branch"))
        if (long.name, short.name) != (LONG, SHORT):
            continue
        result, like = short.outputs[0], node.outputs[0]
        known: dict[int, onnx_ir.Value] = {}
        for inner in short:
            inputs = [known.get(id(value), value) for value in inner.inputs]
            copy = onnx_ir.node(inner.op_type, inputs, dict(inner.attributes), domain=inner.domain)
            output = copy.outputs[0]
            output.type, output.shape, output.name = (
                inner.outputs[0].type,
                inner.outputs[0].shape,
                inner.outputs[0].name,
            )
            model.graph.insert_before(node, copy)
            known[id(inner.outputs[0])] = output
        replace(like, known[id(result)])
        count += 1
    if count:
        remove_dead(model)
    return count
