"""A second output beside scores: the logarithm of the sum of their exponentials, of each row, for a search with beams.

    logits -> logits, log_normalizer = Slice(logits) - Slice(LogSoftmax(logits))   one column of each

It is the same number for every column. (ONNX Runtime's ReduceLogSumExp takes ten times as long as its LogSoftmax.)
"""

from __future__ import annotations

import numpy as np
import onnx_ir

from onnxpress_exporter.passes.graph import add_constant, axes, ints, remove_dead

NAME = "log_normalizer"
_FLOAT = onnx_ir.DataType.FLOAT


def log_normalizer(model: onnx_ir.Model, column: int = 0) -> None:
    """Add the output, float32 of the scores' shape but for the last axis, which is 1, as the second one.

    Args:
        column: a token whose score is of the size of others': of a very large number the difference is not exact.
    """
    graph = model.graph
    (logits,) = (one for one in graph.outputs if one.name == "logits")
    shape = [*(axes(logits) or ())[:-1], 1]
    place = [
        add_constant(graph, f"{NAME}.{name}", np.array([value], np.int64))
        for name, value in (("first", column), ("after", column + 1), ("axis", -1))
    ]
    shares = _append(graph, "shares", "LogSoftmax", [logits], axes(logits), axis=-1)
    score = _append(graph, "score", "Slice", [logits, *place], shape)
    share = _append(graph, "share", "Slice", [shares, *place], shape)
    found = _append(graph, "", "Sub", [score, share], shape)
    found.name = NAME
    graph.outputs.insert(1, found)


def without_log_normalizer(model: onnx_ir.Model) -> int | None:
    """Take the output out; the column it was made from, None if there is no such output."""
    found = next((one for one in model.graph.outputs if one.name == NAME), None)
    difference = None if found is None else found.producer()
    score = None if difference is None or difference.inputs[0] is None else difference.inputs[0].producer()
    if found is None or score is None:
        return None
    columns = ints(score.inputs[1])
    model.graph.outputs.remove(found)
    remove_dead(model)
    return columns[0] if columns else 0


def _append(
    graph: onnx_ir.Graph,
    name: str,
    op_type: str,
    inputs: list[onnx_ir.Value],
    shape: tuple[int | str | None, ...] | list[int | str | None] | None,
    **attributes: int,
) -> onnx_ir.Value:
    node = onnx_ir.node(op_type, inputs, attributes, name=f"{NAME}.{name}")
    output = node.outputs[0]
    output.name, output.type = f"{NAME}.{name}", onnx_ir.TensorType(_FLOAT)
    output.shape = None if shape is None else onnx_ir.Shape(shape)
    graph.append(node)
    return output
