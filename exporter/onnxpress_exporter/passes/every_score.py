"""Scores of every token that is read, as other tools expect them, instead of those that are asked for.

Gather(x, logits_to_keep, axis=1) -> x
"""

from __future__ import annotations

import onnx_ir

from onnxpress_exporter.passes.graph import attribute_int, consumers, remove_dead, replace

PLACES = "logits_to_keep"


def every_score(model: onnx_ir.Model) -> int:
    """Take the input out; how many nodes picked by it.

    Raises:
        ValueError: something else than a Gather of tokens reads it.
    """
    graph = model.graph
    places = next((value for value in graph.inputs if value.name == PLACES), None)
    if places is None:
        return 0
    picks = consumers(places)
    if any(node.op_type != "Gather" or attribute_int(node, "axis", 0) != 1 for node in picks):
        raise ValueError(f"{PLACES} is read by {', '.join(sorted(node.op_type for node in picks))}")
    for node in picks:
        picked, tokens = node.outputs[0], node.inputs[0]
        assert tokens is not None
        replace(picked, tokens)
    remove_dead(model)
    graph.inputs.remove(places)
    return len(picks)
