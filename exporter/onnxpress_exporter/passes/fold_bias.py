"""MatMulNBits(x, ...) + constant vector -> MatMulNBits(x, ..., bias): one node and one pass over the result less.

Only where nothing else reads the product. The sum is the same number for number: the kernel begins with the bias.
"""

from __future__ import annotations

import onnx_ir

from onnxpress_exporter.passes.graph import attribute_int, constant, consumers, nodes, remove_dead, replace

#: The place of the bias among MatMulNBits' inputs.
_BIAS = 5


def fold_bias(model: onnx_ir.Model) -> int:
    """Rewrite in place; how many."""
    count = 0
    for node in nodes(model, "MatMulNBits"):
        product = node.outputs[0]
        readers = consumers(product)
        if len(readers) != 1 or readers[0].op_type != "Add" or product.is_graph_output():
            continue
        (add,) = readers
        bias = next((one for one in add.inputs if one is not product), None)
        array = constant(bias)
        if array is None or array.shape != (attribute_int(node, "N", 0),) or len(node.inputs) > _BIAS:
            continue
        inputs = [*node.inputs, *[None] * (_BIAS - len(node.inputs)), bias]
        fused = onnx_ir.node(node.op_type, inputs, domain=node.domain, attributes=dict(node.attributes))
        fused.outputs[0].shape, fused.outputs[0].type = product.shape, onnx_ir.TensorType(onnx_ir.DataType.FLOAT)
        model.graph.insert_before(add, fused)
        replace(add.outputs[0], fused.outputs[0])
        count += 1
    if count:
        remove_dead(model)
    return count
