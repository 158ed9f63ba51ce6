"""The lengths of rows from a mask, as other tools tell them, in the place of this runtime's own inputs.

    seqlens_k, total_sequence_length
    -> attention_mask int64 (batch_size, total_sequence_length), in one of two ways:

    mask_on_the_right   seqlens_k = Cast(ReduceSum(attention_mask) - 1), total = Cast(Squeeze(Shape(attention_mask)))
    mask_on_the_left    seqlens_k = total - 1 for every row; where the mask is 0, a large negative number is added to
                        the scores of GroupQueryAttention; what it rotates is rotated before it, by `position_ids`

With padding on the right a row's keys are its first ones, so that they may be written in place. With padding on the
left its keys are its last ones: the kernel, which is told nothing of it, would see and count what is not there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir

from onnxpress_exporter.passes.graph import MICROSOFT, add_constant, attribute_int, axes, nodes, remove_dead

MASK, PLACES = "attention_mask", "position_ids"
SEQLENS, TOTAL = "seqlens_k", "total_sequence_length"
BATCH, TOTAL_AXIS = "batch_size", "total_sequence_length"
#: Added to the score of a key that is padding: as good as minus infinity, and a number in 16 bits.
HIDDEN = -1e4

_INT32, _INT64, _FLOAT = onnx_ir.DataType.INT32, onnx_ir.DataType.INT64, onnx_ir.DataType.FLOAT
# Among the inputs of GroupQueryAttention: the tables of its rotation, what is added to scores.
_TABLES, _BIAS = 7, 10


class Front:
    """Writes nodes at the beginning of a graph, in order."""

    def __init__(self, graph: onnx_ir.Graph, prefix: str) -> None:
        self._graph, self._prefix, self._new = graph, prefix, list[onnx_ir.Node]()
        self._sizes: dict[tuple[str | None, int], onnx_ir.Value] = {}

    def node(
        self,
        name: str,
        op_type: str,
        inputs: list[onnx_ir.Value | None],
        dtype: onnx_ir.DataType,
        shape: list[int | str | None] | None,
        **attributes: Any,
    ) -> onnx_ir.Value:
        """The output of a new node, which gets the name."""
        node = onnx_ir.node(op_type, inputs, attributes, name=f"{self._prefix}.{name}")
        value = node.outputs[0]
        value.name, value.type = f"{self._prefix}.{name}", onnx_ir.TensorType(dtype)
        value.shape = None if shape is None else onnx_ir.Shape(shape)
        self._new.append(node)
        return value

    def ints(self, *numbers: int) -> onnx_ir.Value:
        """A constant int64 (count)."""
        return add_constant(self._graph, f"ints_{'_'.join(map(str, numbers))}", np.array(numbers, np.int64))

    def size(self, value: onnx_ir.Value, axis: int) -> onnx_ir.Value:
        """int64 (1): the size of an axis."""
        if (value.name, axis) not in self._sizes:
            size = self.node(f"{value.name}.{axis}", "Shape", [value], _INT64, [1], start=axis, end=axis + 1)
            self._sizes[value.name, axis] = size
        return self._sizes[value.name, axis]

    def scalar(self, value: onnx_ir.Value, name: str) -> onnx_ir.Value:
        """int32 () of an int64 (1)."""
        single = self.node(f"{name}.single", "Squeeze", [value, self.ints(0)], _INT64, [])
        return self.node(name, "Cast", [single], _INT32, [], to=int(_INT32))

    def done(self) -> None:
        """Put the nodes before the graph's others."""
        first = next(iter(self._graph), None)
        if first is None:
            self._graph.extend(self._new)
        else:
            self._graph.insert_before(first, self._new)


def mask_on_the_right(model: onnx_ir.Model) -> int:
    """Take lengths from a mask whose padding is on the right: six nodes. How many inputs it stands for."""
    graph = model.graph
    if _input(graph, SEQLENS) is None:
        return 0
    front, mask = Front(graph, MASK), _mask_input(graph)
    counts = front.node("counts", "ReduceSum", [mask, front.ints(1)], _INT64, [BATCH], keepdims=0)
    last = front.node("last", "Sub", [counts, front.ints(1)], _INT64, [BATCH])
    seqlens = front.node("seqlens", "Cast", [last], _INT32, [BATCH], to=int(_INT32))
    total = front.scalar(front.size(mask, 1), "total")
    front.done()
    return _stand_for(graph, {SEQLENS: seqlens, TOTAL: total})


def mask_on_the_left(model: onnx_ir.Model) -> int:
    """Take lengths from a mask whose padding is on the left, and hide it. How many inputs it stands for."""
    graph = model.graph
    if _input(graph, SEQLENS) is None:
        return 0
    front, mask = Front(graph, MASK), _mask_input(graph)
    width, rows = front.size(mask, 1), front.size(mask, 0)
    last = front.node("last", "Sub", [width, front.ints(1)], _INT64, [1])
    every = front.node("every", "Expand", [last, rows], _INT64, [BATCH])
    seqlens = front.node("seqlens", "Cast", [every], _INT32, [BATCH], to=int(_INT32))
    total = front.scalar(width, "total")
    seen = front.node("seen", "Cast", [mask], onnx_ir.DataType.BOOL, [BATCH, TOTAL_AXIS], to=int(onnx_ir.DataType.BOOL))
    none, hidden = (
        add_constant(graph, f"{MASK}.{name}", np.array(number, np.float32))
        for name, number in (("visible", 0.0), ("hidden", HIDDEN))
    )
    added = front.node("added", "Where", [seen, none, hidden], _FLOAT, [BATCH, TOTAL_AXIS])
    added = front.node("rows", "Unsqueeze", [added, front.ints(1, 2)], _FLOAT, [BATCH, 1, 1, TOTAL_AXIS])
    ids = graph.inputs[0]
    shape = front.node("shape", "Concat", [rows, front.ints(1), front.size(ids, 1), width], _INT64, [4], axis=0)
    bias = front.node("bias", "Expand", [added, shape], _FLOAT, [BATCH, 1, "sequence_length", TOTAL_AXIS])
    front.done()
    for node in nodes(model, "GroupQueryAttention"):
        node.resize_inputs(_BIAS + 1)
        other = node.inputs[_BIAS]
        node.replace_input_with(_BIAS, bias if other is None else _sum(graph, node, bias, other))
        if attribute_int(node, "do_rotary", 0):
            _rotate_before(graph, node)
    for node in nodes(model, "RotaryEmbedding"):
        node.replace_input_with(1, _places(graph))
    changed = _stand_for(graph, {SEQLENS: seqlens, TOTAL: total})
    remove_dead(model)
    return changed


def _places(graph: onnx_ir.Graph) -> onnx_ir.Value:
    """int64 (batch_size, sequence_length): where the tokens stand, which tools count in the mask."""
    known = _input(graph, PLACES)
    if known is not None:
        return known
    shape, kind = onnx_ir.Shape([BATCH, "sequence_length"]), onnx_ir.TensorType(_INT64)
    places = onnx_ir.Value(name=PLACES, shape=shape, type=kind)
    graph.inputs.insert(2, places)
    return places


def _rotate_before(graph: onnx_ir.Graph, node: onnx_ir.Node) -> None:
    """Rotate queries and keys in nodes of their own: the kernel counts from the row's first place, padding or not."""
    name, (query, key, value) = node.outputs[0].name, node.inputs[:3]
    heads = {"query": attribute_int(node, "num_heads", 0), "key": attribute_int(node, "kv_num_heads", 0)}
    size = (axes(node.inputs[3]) or (None,))[-1]
    cos, sin = node.inputs[_TABLES : _TABLES + 2]
    if not isinstance(size, int) or cos is None or query is None:
        raise ValueError(f"{name} rotates, and its sizes are not known")
    if key is None:
        widths = [count * size for count in (heads["query"], heads["key"], heads["key"])]
        sizes = add_constant(graph, f"{name}.sizes", np.array(widths, np.int64))
        split = onnx_ir.node("Split", [query, sizes], {"axis": -1}, num_outputs=3, name=f"{name}.split")
        for part, output, width in zip(("query", "key", "value"), split.outputs, widths, strict=True):
            output.name, output.type = f"{name}.{part}", onnx_ir.TensorType(_FLOAT)
            output.shape = onnx_ir.Shape([BATCH, "sequence_length", width])
        graph.insert_before(node, split)
        query, key, value = split.outputs
    width = 2 * int((axes(cos) or (0,))[-1] or 0)
    rotation = {"interleaved": attribute_int(node, "rotary_interleaved", 0), "rotary_embedding_dim": width}
    turned = {}
    for part, source in (("query", query), ("key", key)):
        attributes = {**rotation, "num_heads": heads[part]}
        turn = onnx_ir.node(
            "RotaryEmbedding",
            [source, _places(graph), cos, sin],
            attributes,
            domain=MICROSOFT,
            name=f"{name}.{part}.turn",
        )
        turned[part] = turn.outputs[0]
        turned[part].name, turned[part].type = f"{name}.{part}.turned", onnx_ir.TensorType(_FLOAT)
        turned[part].shape = source.shape
        graph.insert_before(node, turn)
    for place, new in enumerate((turned["query"], turned["key"], value)):
        node.replace_input_with(place, new)
    for place in (_TABLES, _TABLES + 1):
        node.replace_input_with(place, None)
    node.attributes["do_rotary"] = onnx_ir.AttrInt64("do_rotary", 0)


def _sum(graph: onnx_ir.Graph, before: onnx_ir.Node, bias: onnx_ir.Value, other: onnx_ir.Value) -> onnx_ir.Value:
    """Both, computed once for all layers that have the other in common."""
    for use in other.uses():
        if use.node.op_type == "Add" and use.node.inputs[0] is bias:
            return use.node.outputs[0]
    node = onnx_ir.node("Add", [bias, other], name=f"{other.name}.masked")
    node.outputs[0].name, node.outputs[0].type = f"{other.name}.masked", onnx_ir.TensorType(_FLOAT)
    known = axes(other)
    node.outputs[0].shape = None if known is None else onnx_ir.Shape([BATCH, *known[1:]])
    graph.insert_before(before, node)
    return node.outputs[0]


def _input(graph: onnx_ir.Graph, name: str) -> onnx_ir.Value | None:
    return next((value for value in graph.inputs if value.name == name), None)


def _mask_input(graph: onnx_ir.Graph) -> onnx_ir.Value:
    """The new input, after the first one, as is the custom."""
    shape, kind = onnx_ir.Shape([BATCH, TOTAL_AXIS]), onnx_ir.TensorType(_INT64)
    mask = onnx_ir.Value(name=MASK, shape=shape, type=kind)
    graph.inputs.insert(1, mask)
    return mask


def _stand_for(graph: onnx_ir.Graph, computed: dict[str, onnx_ir.Value]) -> int:
    """Let what reads these inputs read the computed values, and take the inputs out."""
    for name, value in computed.items():
        taken = _input(graph, name)
        assert taken is not None
        onnx_ir.convenience.replace_all_uses_with(taken, value)
        graph.inputs.remove(taken)
    return len(computed)
