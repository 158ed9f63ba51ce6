"""A second output beside scores: of each row the logarithm of the sum of their exponentials, where it is asked for.

    logits, with_log_normalizer
    -> logits, log_normalizer = If(with_log_normalizer, Slice(logits) - Slice(LogSoftmax(logits)), Slice(logits))

One column is sliced: the difference is the same for every one. A search with beams wants it; for others, who do not
ask, it would cost some percent of a step. (ONNX Runtime's ReduceLogSumExp takes ten times as long as its LogSoftmax.)
"""

from __future__ import annotations

import numpy as np
import onnx_ir

from onnxpress_exporter.passes.graph import add_constant, axes, ints, remove_dead

NAME, ASKED = "log_normalizer", "with_log_normalizer"
_FLOAT, _BOOL = onnx_ir.DataType.FLOAT, onnx_ir.DataType.BOOL


def log_normalizer(model: onnx_ir.Model, column: int = 0) -> None:
    """Add the input bool (), as the last one, and the output as the second one.

    The output is float32 of the scores' shape but for the last axis, which is 1; it holds one score where nobody asks.

    Args:
        column: a token whose score is of the size of others': of a very large number the difference is not exact.
    """
    graph = model.graph
    (logits,) = (candidate for candidate in graph.outputs if candidate.name == "logits")
    asked = onnx_ir.Value(name=ASKED, shape=onnx_ir.Shape([]), type=onnx_ir.TensorType(_BOOL))
    graph.inputs.append(asked)
    place = [
        add_constant(graph, f"{NAME}.{name}", np.array([value], np.int64))
        for name, value in (("first", column), ("after", column + 1), ("axis", -1))
    ]
    score = _node("score", "Slice", [logits, *place])
    shares = _node("shares", "LogSoftmax", [logits], axis=-1)
    share = _node("share", "Slice", [shares.outputs[0], *place])
    total = _node("total", "Sub", [score.outputs[0], share.outputs[0]])
    other = _node("other", "Slice", [logits, *place])
    branches = {
        "then_branch": _branch("asked", [score, shares, share, total]),
        "else_branch": _branch("not_asked", [other]),
    }
    choice = onnx_ir.node("If", [asked], branches, name=NAME)
    graph.append(choice)
    output = choice.outputs[0]
    output.name, output.type = NAME, onnx_ir.TensorType(_FLOAT)
    output.shape = onnx_ir.Shape([*(axes(logits) or ())[:-1], 1])
    graph.outputs.insert(1, output)


def without_log_normalizer(model: onnx_ir.Model) -> int | None:
    """Take input and output out; the column that it was made from, None if there is no such output."""
    normalizer = next((value for value in model.graph.outputs if value.name == NAME), None)
    asks = None if normalizer is None else normalizer.producer()
    if normalizer is None or asks is None:
        return None
    (other,) = asks.attributes["else_branch"].as_graph()
    columns = ints(other.inputs[1])
    model.graph.outputs.remove(normalizer)
    remove_dead(model)
    for name in [name for name in model.graph.initializers if name.startswith(f"{NAME}.")]:  # the branches read them
        del model.graph.initializers[name]
    model.graph.inputs.remove(next(value for value in model.graph.inputs if value.name == ASKED))
    return columns[0] if columns else 0


def _node(name: str, op_type: str, inputs: list[onnx_ir.Value], **attributes: int) -> onnx_ir.Node:
    node = onnx_ir.node(op_type, inputs, attributes, name=f"{NAME}.{name}")
    node.outputs[0].name, node.outputs[0].type = f"{NAME}.{name}", onnx_ir.TensorType(_FLOAT)
    return node


def _branch(name: str, nodes: list[onnx_ir.Node]) -> onnx_ir.Graph:
    return onnx_ir.Graph([], [nodes[-1].outputs[0]], nodes=nodes, name=f"{NAME}.{name}")
