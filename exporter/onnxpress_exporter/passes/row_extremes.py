"""A row's largest size from its two ends, without an array of sizes between.

ReduceMax(Abs(x)) -> Max(ReduceMax(x), Neg(ReduceMin(x)))
"""

from __future__ import annotations

import onnx_ir

from onnxpress_exporter.passes.graph import add_node, attribute_int, nodes, producer, remove_dead, replace


def row_extremes(model: onnx_ir.Model) -> int:
    """Rewrite every such range of `model`, in place; how many there were."""
    count = 0
    for node in nodes(model, "ReduceMax"):
        sizes = producer(node.inputs[0], "Abs")
        if sizes is None or len(node.inputs) != 2:
            continue
        ends = [sizes.inputs[0], node.inputs[1]]
        keeps = {"keepdims": attribute_int(node, "keepdims", 1)}
        largest, smallest = (
            add_node(node, operator, ends, like=node.outputs[0], attributes=keeps)
            for operator in ("ReduceMax", "ReduceMin")
        )
        below = add_node(node, "Neg", [smallest], like=node.outputs[0])
        replace(node.outputs[0], add_node(node, "Max", [largest, below], like=node.outputs[0]))
        count += 1
    if count:
        remove_dead(model)
    return count
