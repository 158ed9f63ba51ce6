"""Attention masks as exporters write them -> the same masks in a few nodes.

1. Picking mask[batch, key] by computed indices is a reshape:
   GatherND(mask, Concat(range over batch, range over keys)) -> Unsqueeze(mask, [1, 2])
2. "Every query position is at least 0" is true, so it need not be computed nor broadcast:
   And(GreaterOrEqual(range from 0, 0), mask) -> mask
3. The lowest float in a mask -> MASKED, which softmax turns into the same zero, and which does not
   overflow when masks are added.
4. A mask that hides nothing is not added, as attention over the patches of a picture has it:
   Add(scores, Where(Expand(true), 0, lowest)) -> scores

Fully masked rows (padding's own rows) may change; nothing that is not padding reads them.
"""

from __future__ import annotations

import numpy as np
import onnx_ir

from onnxpress_exporter.passes.graph import (
    add_constant,
    add_node,
    axes,
    constant,
    consumers,
    nodes,
    producer,
    rank,
    remove_dead,
    replace,
    scalar,
)

# exp(MASKED + score) is 0 in float32 for any score; models without LayerNorm have scores in the
# tens of thousands, so less will not do. Two of them do not add up to an infinity. float16 cannot
# hold it: whatever converts a graph to float16 has to choose another.
MASKED = -1e9
_LOWEST = -1e30


def simplify_mask(model: onnx_ir.Model) -> int:
    """Apply the four rewrites to `model`, in place; how many were made."""
    count = sum(_gathered_mask(node, model.graph) for node in nodes(model, "GatherND"))
    count += sum(_always_true(node, model.graph) for node in nodes(model, "GreaterOrEqual"))
    count += sum(_and_true(node) for node in nodes(model, "And"))
    count += sum(_hides_nothing(node) for node in nodes(model, "Add"))
    count += sum(_lowest_to_masked(node, model.graph) for node in nodes(model, "Where"))
    if count:
        remove_dead(model)
    return count


def range_from_zero(value: onnx_ir.Value | None) -> bool:
    """Whether `value` is 0, 1, 2, ... in one direction, however reshaped or repeated."""
    node = producer(value, "Unsqueeze", "Expand", "Range", "Squeeze")
    while node is not None and node.op_type != "Range":
        node = producer(node.inputs[0], "Unsqueeze", "Expand", "Range", "Squeeze")
    return node is not None and scalar(node.inputs[0]) == 0 and scalar(node.inputs[2]) == 1


def _gathered_mask(node: onnx_ir.Node, graph: onnx_ir.Graph) -> bool:
    mask, shape = node.inputs[0], axes(node.outputs[0])
    concat = producer(node.inputs[1], "Concat")
    if rank(mask) != 2 or shape is None or len(shape) != 4 or concat is None:
        return False
    if len(concat.inputs) != 2 or not all(range_from_zero(index) for index in concat.inputs):
        return False
    # [batch, 1, 1, keys]: the batch's range varies along the first axis, the keys' along the last.
    if shape[1:3] != (1, 1) or (shape[0], shape[3]) != axes(mask):
        return False
    new_axes = add_constant(graph, "mask_axes", np.array([1, 2], np.int64))
    replace(node.outputs[0], add_node(node, "Unsqueeze", [mask, new_axes], like=node.outputs[0]))
    return True


def _always_true(node: onnx_ir.Node, graph: onnx_ir.Graph) -> bool:
    if scalar(node.inputs[1]) != 0 or not range_from_zero(node.inputs[0]):
        return False
    # Only masks that are combined and broadcast again may lose their shape here.
    readers = consumers(node.outputs[0])
    if any(reader.op_type != "And" or not _broadcasts(reader.outputs[0]) for reader in readers):
        return False
    replace(node.outputs[0], add_constant(graph, "always_true", np.array(True)))
    return True


def _broadcasts(value: onnx_ir.Value) -> bool:
    """Whether every reader of `value` would broadcast it, so that axes of size 1 will do."""
    for node in consumers(value):
        if node.op_type in ("And", "Where"):
            if not _broadcasts(node.outputs[0]):
                return False
        elif node.op_type != "Add" or rank(node.outputs[0]) != 4:
            return False
    return not value.is_graph_output()


def _and_true(node: onnx_ir.Node) -> bool:
    for true, mask in ((node.inputs[0], node.inputs[1]), (node.inputs[1], node.inputs[0])):
        array = constant(true)
        if array is None or array.size != 1 or not bool(array.reshape(())) or mask is None:
            continue
        same_shape = axes(mask) == axes(node.outputs[0])
        if not same_shape and not _broadcasts(node.outputs[0]):
            continue
        outputs = [reader.outputs[0] for reader in consumers(node.outputs[0]) if reader.op_type == "Where"]
        replace(node.outputs[0], mask)
        for output in outputs:
            _forget_queries(output, mask)
        return True
    return False


def _forget_queries(where: onnx_ir.Value, mask: onnx_ir.Value) -> None:
    """A mask chosen by `mask` between two numbers has the mask's shape now."""
    node = where.producer()
    if node is not None and all(scalar(number) is not None for number in node.inputs[1:]):
        where.shape = mask.shape


def _hides_nothing(node: onnx_ir.Node) -> bool:
    """Attention without a mask goes through the keys block by block, which ONNX Runtime does not do with any."""
    for mask, scores in (node.inputs, node.inputs[::-1]):
        where = producer(mask, "Where")
        if where is None or scores is None or scalar(where.inputs[1]) != 0 or not _is_true(where.inputs[0]):
            continue
        shape = axes(scores)
        if shape is None or shape != axes(node.outputs[0]):  # the sum is broadcast
            continue
        replace(node.outputs[0], scores)
        return True
    return False


def _is_true(condition: onnx_ir.Value | None) -> bool:
    """Whether a condition holds everywhere, whatever the inputs are."""
    expand = producer(condition, "Expand")
    if expand is not None:
        condition = expand.inputs[0]
    array = constant(condition)
    if array is not None:
        return bool(array.all())
    compared = producer(condition, "GreaterOrEqual")
    return compared is not None and scalar(compared.inputs[1]) == 0 and range_from_zero(compared.inputs[0])


def _lowest_to_masked(node: onnx_ir.Node, graph: onnx_ir.Graph) -> bool:
    changed = False
    for index in (1, 2):
        number = scalar(node.inputs[index])
        array = constant(node.inputs[index])
        if number is None or array is None or number > _LOWEST or array.dtype != np.float32:
            continue
        masked = add_constant(graph, "masked", np.full(array.shape, MASKED, np.float32))
        node.replace_input_with(index, masked)
        changed = True
    return changed
