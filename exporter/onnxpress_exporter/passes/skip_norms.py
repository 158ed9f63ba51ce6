"""A residual connection before a normalization -> one node, as GPUs want it.

    LayerNormalization(Sum(x, bias, residual)) -> SkipLayerNormalization(x, residual, weight, bias of the norm, bias)
    SimplifiedLayerNormalization(Sum(...))     -> SkipSimplifiedLayerNormalization(x, residual, weight, bias)

Undoes `residual_sum`, which processors want. Who else reads the sum reads it from the node's fourth output.
"""

from __future__ import annotations

import onnx_ir

from onnxpress_exporter.passes.graph import (
    MICROSOFT,
    attribute_float,
    attribute_int,
    axes,
    constant,
    consumers,
    nodes,
    producer,
    remove_dead,
    replace,
)


def skip_norms(model: onnx_ir.Model) -> int:
    """Rewrite every residual connection of `model` that has this form, in place; how many there were."""
    count = sum(_fuse(norm) for norm in nodes(model, "LayerNormalization", "SimplifiedLayerNormalization"))
    if count:
        model.opset_imports[MICROSOFT] = 1
        remove_dead(model)
    return count


def _fuse(norm: onnx_ir.Node) -> bool:
    total = producer(norm.inputs[0], "Sum", "Add")
    if total is None or attribute_int(norm, "axis", -1) not in (-1, 2) or total.outputs[0].is_graph_output():
        return False
    terms = _terms(total)
    if terms is None or any(output.uses() for output in norm.outputs[1:]):
        return False
    x, residual, bias = terms
    parameters = [norm.inputs[1]]
    if norm.op_type == "LayerNormalization":
        parameters.append(norm.inputs[2] if len(norm.inputs) > 2 else None)
    node = onnx_ir.node(
        f"Skip{norm.op_type}",
        [x, residual, *parameters, bias],
        {"epsilon": attribute_float(norm, "epsilon", 1e-5)},
        domain=MICROSOFT,
        num_outputs=4,
    )
    for output, like in zip(node.outputs, (norm.outputs[0], None, None, total.outputs[0]), strict=True):
        if like is not None and like.dtype is not None:
            output.shape, output.type = like.shape, onnx_ir.TensorType(like.dtype)
        else:
            output.name = ""  # the mean and the inverse deviation, which nobody reads
    assert norm.graph is not None
    # Where the sum is: some of its readers may stand before the normalization.
    norm.graph.insert_after(total, node)
    replace(norm.outputs[0], node.outputs[0])
    if len(consumers(total.outputs[0])) > 1:  # the normalization itself is one
        replace(total.outputs[0], node.outputs[3])
    else:
        node.outputs[3].name = ""
    return True


def _terms(total: onnx_ir.Node) -> tuple[onnx_ir.Value, onnx_ir.Value, onnx_ir.Value | None] | None:
    """Two terms of the same three axes, and a vector or None; None: it is another sum."""
    width = (axes(total.outputs[0]) or (None,))[-1]
    vectors = [term for term in total.inputs if (array := constant(term)) is not None and array.shape == (width,)]
    rows = [term for term in total.inputs if term is not None and constant(term) is None]
    if len(rows) != 2 or len(vectors) > 1 or len(vectors) + 2 != len(total.inputs):
        return None
    first, second = (axes(term) for term in rows)
    if first is None or first != second or len(first) != 3:
        return None
    return rows[0], rows[1], vectors[0] if vectors else None
