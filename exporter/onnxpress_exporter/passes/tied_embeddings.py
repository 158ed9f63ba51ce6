"""An embedding table that is the transpose of a product's weights -> both read the product's integers.

    Gather(table, ids), MatMul(x, Transpose(table))
    -> Gather(rows, ids) * Gather(scales, ids) and the product of Transpose(rows)   one scale for each row
    -> GatherBlockQuantized(rows, ids) and the product of Reshape(rows)                      scales of blocks

A language model's head has the words' table as its weights. ONNX Runtime transposes and reshapes constants when it
loads a graph, so that only loading, not running, pays for the file's being smaller.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir

from onnxpress_exporter.passes.graph import (
    MICROSOFT,
    add_constant,
    add_node,
    attribute_int,
    axes,
    consumers,
    nodes,
    remove_dead,
    replace,
    stored_weights,
)
from onnxpress_exporter.passes.integer_products import IntegerWeights
from onnxpress_exporter.passes.weight_only import BlockWeights, block_arrays

Integers = IntegerWeights | BlockWeights


def tied_tables(model: onnx_ir.Model) -> dict[str, str]:
    """Product, by its output's name -> the table whose transpose it multiplies by.

    Only tables that one product and otherwise Gathers of the main graph read: with any other reader the table stays,
    and nothing is saved.
    """
    tables = {}
    for node in nodes(model, "MatMul"):
        transposed, table = node.inputs[1], stored_weights(node.inputs[1])
        if transposed is None or table is None or table is transposed or len(consumers(transposed)) != 1:
            continue
        others = [reader for reader in consumers(table) if reader is not transposed.producer()]
        if others and all(reads_rows(model, reader, table) for reader in others) and not table.is_graph_output():
            tables[str(node.outputs[0].name)] = str(table.name)
    return tables


def reads_rows(model: onnx_ir.Model, node: onnx_ir.Node, table: onnx_ir.Value) -> bool:
    """Whether a node of the main graph picks rows of `table`."""
    if node.op_type != "Gather" or node.graph is not model.graph or attribute_int(node, "axis", 0) != 0:
        return False
    return node.inputs[0] is table and node.inputs[1] is not table


def has_rows(weights: Integers) -> bool:
    """Whether the integers can be read by rows: no block is filled up."""
    return isinstance(weights, IntegerWeights) or weights.integers.shape[0] % weights.block == 0


def tied_embeddings(model: onnx_ir.Model, ties: Mapping[str, tuple[str, Integers]]) -> int:
    """Let the readers of tables read the integers of products, in place; how many tables.

    Args:
        ties: product -> its table, and its weights, which `integer_products` or `weight_only` has put into the graph.
    """
    for product, (name, weights) in ties.items():
        table = model.graph.initializers[name]
        readers = [node for node in consumers(table) if node.op_type == "Gather"]
        if isinstance(weights, IntegerWeights):
            _by_rows(model.graph, product, weights, readers)
        else:
            _by_blocks(model.graph, product, weights, readers)
    if ties:
        model.opset_imports[MICROSOFT] = 1
        remove_dead(model)
    return len(ties)


def _by_rows(graph: onnx_ir.Graph, product: str, weights: IntegerWeights, readers: list[onnx_ir.Node]) -> None:
    stored = add_constant(graph, f"{product}_weights", weights.integers)
    rows = _stored_otherwise(graph, stored, np.ascontiguousarray(weights.integers.T), "Transpose")
    scales = add_constant(graph, f"{product}_scales", weights.scales)
    last_axis = add_constant(graph, "last_axis", np.array([-1], np.int64))
    for node in readers:
        output, ids = node.outputs[0], node.inputs[1]
        picked = add_node(node, "Gather", [rows, ids], dtype=rows.dtype, shape=axes(output))
        row = add_node(node, "Cast", [picked], like=output, attributes={"to": int(onnx_ir.DataType.FLOAT)})
        scale = add_node(node, "Gather", [scales, ids], dtype=onnx_ir.DataType.FLOAT, shape=axes(ids))
        column = add_node(node, "Unsqueeze", [scale, last_axis], dtype=onnx_ir.DataType.FLOAT)
        replace(output, add_node(node, "Mul", [row, column], like=output))


def _by_blocks(graph: onnx_ir.Graph, product: str, weights: BlockWeights, readers: list[onnx_ir.Node]) -> None:
    # One row for each output of the product, which is one row of the table.
    outputs = weights.integers.shape[1]
    arrays = block_arrays(weights)
    stored = [
        _stored_otherwise(graph, add_constant(graph, f"{product}_{name}", array), array.reshape(outputs, -1), "Reshape")
        for name, array in arrays.items()
    ]
    for node in readers:
        output = node.outputs[0]
        inputs = [stored[0], node.inputs[1], *stored[1:]]
        attributes = {"bits": weights.bits, "block_size": weights.block, "gather_axis": 0, "quantize_axis": 1}
        rows = add_node(node, "GatherBlockQuantized", inputs, like=output, domain=MICROSOFT, attributes=attributes)
        replace(output, rows)


def _stored_otherwise(graph: onnx_ir.Graph, old: onnx_ir.Value, rows: np.ndarray, how: str) -> onnx_ir.Value:
    """`rows` in the place of the initializer `old`, which its one reader gets back by transposing or reshaping."""
    (reader,) = consumers(old)
    turned = add_constant(graph, f"{old.name}_rows", rows)
    inputs = [turned]
    if how == "Reshape":
        shape = np.array([int(str(size)) for size in axes(old) or ()], np.int64)
        inputs.append(add_constant(graph, f"{old.name}_shape", shape))
    attributes = {"perm": (1, 0)} if how == "Transpose" else {}
    restored = add_node(reader, how, inputs, like=old, attributes=attributes)
    reader.replace_input_with(next(i for i, value in enumerate(reader.inputs) if value is old), restored)
    return turned
