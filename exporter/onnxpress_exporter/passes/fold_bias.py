"""MatMulNBits(x, ...) + constant vector -> MatMulNBits(x, ..., bias): one node, or one term, less to add.

    Add(product, bias)            -> product
    Sum(stream, product, bias)    -> Sum(stream, product)

Only where nothing else reads the product. Of an Add the sum is the same number for number: the kernel begins with the
bias.
"""

from __future__ import annotations

import onnx_ir

from onnxpress_exporter.passes.graph import add_node, attribute_int, constant, consumers, nodes, remove_dead, replace

#: The place of the bias among MatMulNBits' inputs.
_BIAS = 5


def fold_bias(model: onnx_ir.Model) -> int:
    """Rewrite in place; how many."""
    count = 0
    for node in nodes(model, "MatMulNBits"):
        product = node.outputs[0]
        readers = consumers(product)
        if len(readers) != 1 or readers[0].op_type not in ("Add", "Sum") or product.is_graph_output():
            continue
        (total,) = readers
        bias = next((term for term in total.inputs if _is_vector(term, attribute_int(node, "N", 0))), None)
        if bias is None or len(node.inputs) > _BIAS:
            continue
        inputs = [*node.inputs, *[None] * (_BIAS - len(node.inputs)), bias]
        fused = onnx_ir.node(node.op_type, inputs, domain=node.domain, attributes=dict(node.attributes))
        fused.outputs[0].shape, fused.outputs[0].type = product.shape, onnx_ir.TensorType(onnx_ir.DataType.FLOAT)
        model.graph.insert_before(total, fused)
        terms = [fused.outputs[0] if term is product else term for term in total.inputs if term is not bias]
        rest = terms[0] if len(terms) == 1 else add_node(total, "Sum", terms, like=total.outputs[0])
        assert rest is not None
        replace(total.outputs[0], rest)
        count += 1
    if count:
        remove_dead(model)
    return count


def _is_vector(value: onnx_ir.Value | None, size: int) -> bool:
    array = constant(value)
    return array is not None and array.shape == (size,)
