"""Gemm(x, W, b) -> MatMul(x, W') + b, so that the passes that quantize see one kind of product.

    Gemm(alpha, beta, transB; x, W, b), W constant -> Add(MatMul(x, alpha * W or its transpose), beta * b)

A Gemm whose first operand is transposed, or whose weights are computed, is left alone.
"""

from __future__ import annotations

import numpy as np
import onnx_ir

from onnxpress_exporter.passes.graph import (
    add_constant,
    add_node,
    attribute_float,
    attribute_int,
    axes,
    constant,
    nodes,
    remove_dead,
    replace,
    unused_name,
)


def gemm_as_matmul(model: onnx_ir.Model) -> int:
    """Rewrite every Gemm with constant weights, in place; how many there were."""
    count = 0
    for node in nodes(model, "Gemm"):
        weights = constant(node.inputs[1])
        if weights is None or attribute_int(node, "transA", 0) or weights.dtype != np.float32:
            continue
        _rewrite(model.graph, node, weights)
        count += 1
    if count:
        remove_dead(model)
    return count


def _rewrite(graph: onnx_ir.Graph, node: onnx_ir.Node, weights: np.ndarray) -> None:
    output = node.outputs[0]
    array = (weights.T if attribute_int(node, "transB", 0) else weights) * np.float32(attribute_float(node, "alpha", 1))
    name = f"{node.inputs[1].name if node.inputs[1] is not None else output.name}_matmul"
    result = product = add_node(
        node, "MatMul", [node.inputs[0], add_constant(graph, name, array)], dtype=output.dtype, shape=axes(output)
    )
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    beta = attribute_float(node, "beta", 1)
    if bias is not None and beta != 1:
        factor = add_constant(graph, f"{output.name}_beta", np.array(beta, np.float32))
        bias = add_node(node, "Mul", [bias, factor], dtype=output.dtype, shape=axes(bias))
    if bias is not None:
        result = add_node(node, "Add", [product, bias], dtype=output.dtype, shape=axes(output))
    # The product is what quantization speaks of, and takes the Gemm's name where no graph output needs it.
    title, is_output = output.name, output.is_graph_output()
    replace(output, result)
    if result is not product or not is_output:
        output.name = None if is_output else unused_name(graph, f"{title}_gemm")
        product.name = unused_name(graph, f"{title}_product") if is_output else title
