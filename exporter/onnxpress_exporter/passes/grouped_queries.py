"""A step of one row reads each key once for all queries that share it.

GroupQueryAttention multiplies one query after the other by the keys of its group, which are read as often. Where a
graph reads one token of one row, the queries of a group stand where tokens usually do: as many "tokens" of as few heads
as there are keys, none hidden from the others. The token's own key and value are written before.

GroupQueryAttention(q, k, v, past keys, past values, lengths, ...)
-> If(one token of one row, after 31 others at least,
      keys, values = TensorScatter(past, k or v, length),
      GroupQueryAttention(groups of q, no new keys, keys, values, ...),
      GroupQueryAttention as it was)

What is the same for every attention is computed once, before them: a node costs more than a microsecond, and a step
over few tokens has no time to spare. The branches hold no weights. Their sums are in another order, so that a row alone
and one of several differ in the last digits. Heads with a window, a bias or a cache of integers stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir

from onnxpress_exporter.passes.graph import (
    MICROSOFT,
    add_constant,
    add_node,
    attribute_float,
    attribute_int,
    axes,
    nodes,
    remove_dead,
    replace,
)

#: The first version of ONNX's operators that has TensorScatter, which writes where the past lies.
OPSET = 24
#: Tokens of a row, the new one among them, from which on its queries are grouped: below, nodes cost more than keys.
#: The kernel takes no fewer tokens than a group has queries.
LEAST_TOKENS = 32
#: The constant that holds it.
ENOUGH = "grouped_from_tokens"
#: Inputs of GroupQueryAttention, those before the rotation's and those after it.
_LENGTHS, _BEFORE_ROTATION, _AFTER_ROTATION = 5, 7, 9
#: What is the same of the queries' groups as of the queries.
_SAME = ("scale", "softcap")
_INT64, _BOOL, _FLOAT = onnx_ir.DataType.INT64, onnx_ir.DataType.BOOL, onnx_ir.DataType.FLOAT


def grouped_heads(model: onnx_ir.Model) -> list[tuple[int, int]]:
    """Heads of queries and of keys of each attention that `grouped_queries` would rewrite."""
    shapes = (_shape(node) for node in nodes(model, "GroupQueryAttention"))
    return [(shape.heads, shape.kv_heads) for shape in shapes if shape is not None]


def grouped_queries(model: onnx_ir.Model) -> int:
    """Rewrite every attention of `model` whose queries share keys, in place; how many there were."""
    shapes = [(node, shape) for node in nodes(model, "GroupQueryAttention") if (shape := _shape(node)) is not None]
    if not shapes:
        return 0
    steps: dict[Any, _Step] = {}  # by lengths and total, which are the same everywhere
    for node, shape in shapes:
        lengths, total = node.inputs[_LENGTHS : _LENGTHS + 2]
        if (lengths, total) not in steps:
            steps[lengths, total] = _step(model.graph, node, max(LEAST_TOKENS, *(shape.group for _, shape in shapes)))
        _branch(model.graph, node, shape, steps[lengths, total])
    model.opset_imports[""] = max(OPSET, model.opset_imports[""])
    remove_dead(model)
    return len(shapes)


@dataclass(frozen=True, slots=True)
class _Step:
    """`alone`: whether there is one token of one row, after enough others. `places`: how many there are, int64 (rows).
    `position`: the same of the first row, (1, 1)."""

    alone: onnx_ir.Value
    places: onnx_ir.Value
    position: onnx_ir.Value


def _step(graph: onnx_ir.Graph, first: onnx_ir.Node, least: int) -> _Step:
    """What is the same for all attentions from `first` on, before it."""

    def ints(*numbers: int) -> onnx_ir.Value:
        return _ints(graph, *numbers)

    lengths, total = first.inputs[_LENGTHS : _LENGTHS + 2]
    count = add_node(first, "Shape", [first.inputs[0]], dtype=_INT64, shape=[2], attributes={"end": 2})
    product = add_node(first, "ReduceProd", [count], dtype=_INT64, shape=[], attributes={"keepdims": 0})
    single = add_constant(graph, "one_token", np.array(1, np.int64))
    alone = add_node(first, "Equal", [product, single], dtype=_BOOL, shape=[])
    enough = add_constant(graph, ENOUGH, np.array(least, np.int32))
    long = add_node(first, "GreaterOrEqual", [total, enough], dtype=_BOOL, shape=[])
    places = add_node(first, "Cast", [lengths], dtype=_INT64, shape=["rows"], attributes={"to": int(_INT64)})
    of_first = add_node(first, "Slice", [places, ints(0), ints(1)], dtype=_INT64, shape=[1])
    return _Step(
        add_node(first, "And", [alone, long], dtype=_BOOL, shape=[]),
        places,
        add_node(first, "Reshape", [of_first, ints(1, 1)], dtype=_INT64, shape=[1, 1]),
    )


def _ints(graph: onnx_ir.Graph, *numbers: int) -> onnx_ir.Value:
    return add_constant(graph, "ints_" + "_".join(map(str, numbers)), np.array(numbers, np.int64))


@dataclass(frozen=True, slots=True)
class _Shape:
    """Heads of queries, heads of keys, and the numbers of one head."""

    heads: int
    kv_heads: int
    size: int

    @property
    def group(self) -> int:
        """Queries that share a key."""
        return self.heads // self.kv_heads


def _shape(node: onnx_ir.Node) -> _Shape | None:
    """What an attention is like; None: it cannot be rewritten, or queries share nothing."""
    heads, kv_heads = (attribute_int(node, name, 0) for name in ("num_heads", "kv_num_heads"))
    past = node.inputs[3] if len(node.inputs) > _BEFORE_ROTATION - 1 else None
    size = (axes(past) or (None,))[-1]
    plain = (
        node.domain == MICROSOFT
        and not any(node.inputs[_AFTER_ROTATION:])
        and attribute_int(node, "local_window_size", -1) == -1
        and not attribute_int(node, "smooth_softmax", 0)
    )
    if not plain or past is None or past.dtype != _FLOAT or not isinstance(size, int) or heads <= kv_heads:
        return None
    return _Shape(heads, kv_heads, size)


def _branch(graph: onnx_ir.Graph, node: onnx_ir.Node, shape: _Shape, step: _Step) -> None:
    """Put a choice of two graphs in the place of an attention."""
    usual = onnx_ir.node(
        "GroupQueryAttention", list(node.inputs), dict(node.attributes), domain=MICROSOFT, num_outputs=3
    )
    branches = {
        "then_branch": _Grouped(graph, node, shape, step).branch(),
        "else_branch": onnx_ir.Graph([], _like(node, usual.outputs, "each"), nodes=[usual], name="each"),
    }
    choice = onnx_ir.node("If", [step.alone], branches, num_outputs=3)
    assert node.graph is not None
    node.graph.insert_before(node, choice)
    for old, new in zip(node.outputs, choice.outputs, strict=True):
        new.shape, new.type = old.shape, old.type
        replace(old, new)


def _like(node: onnx_ir.Node, outputs: Sequence[onnx_ir.Value], name: str) -> list[onnx_ir.Value]:
    """Outputs of a branch, shaped and typed as those of the attention, under names of their own."""
    for output, like in zip(outputs, node.outputs, strict=True):
        output.shape, output.name = like.shape, f"{like.name}_{name}"
        if like.dtype is not None:
            output.type = onnx_ir.TensorType(like.dtype)
    return list(outputs)


class _Grouped:
    """Writes the nodes of one token of one row."""

    def __init__(self, graph: onnx_ir.Graph, node: onnx_ir.Node, shape: _Shape, step: _Step) -> None:
        self._graph, self._node, self._shape, self._step = graph, node, shape, step
        self._nodes: list[onnx_ir.Node] = []

    def branch(self) -> onnx_ir.Graph:
        """The graph, over values of the graph around it."""
        shape, node = self._shape, self._node
        heads, kv_heads, size, group = shape.heads, shape.kv_heads, shape.size, shape.group
        lengths, total = node.inputs[_LENGTHS : _LENGTHS + 2]
        query, key, value = self._rotated()
        written = [
            self._emit("TensorScatter", [past, new, self._step.places], {"axis": 2, "mode": "linear"})
            for past, new in zip(node.inputs[3:5], (key, value), strict=True)
        ]
        nothing = add_constant(
            self._graph, f"no_tokens_{kv_heads * size}", np.empty((1, 0, kv_heads * size), np.float32)
        )
        groups = self._turned(query, (1, kv_heads, group, size), (1, group, kv_heads * size))
        attributes: dict[str, Any] = {
            "num_heads": kv_heads,
            "kv_num_heads": kv_heads,
            "causal": 0,
            **{name: attribute_float(node, name, 0.0) for name in _SAME},
        }
        seen = self._emit(
            "GroupQueryAttention", [groups, nothing, nothing, *written, lengths, total], attributes, domain=MICROSOFT
        )
        y = self._turned(seen, (1, group, kv_heads, size), (1, 1, heads * size))
        return onnx_ir.Graph([], _like(node, [y, *written], "grouped"), nodes=self._nodes, name="grouped")

    def _rotated(self) -> list[onnx_ir.Value]:
        """Queries, keys and values by head, (1, heads, 1, size), as the kernel would rotate them."""
        shape, node = self._shape, self._node
        counts = (shape.heads, shape.kv_heads, shape.kv_heads)
        if node.inputs[1] is None:
            whole = self._emit("Reshape", [node.inputs[0], self._ints(1, sum(counts), 1, shape.size)])
            parts = [*self._several("Split", [whole, self._ints(*counts)], {"axis": 1}, outputs=3)]
        else:
            parts = [
                self._emit("Reshape", [part, self._ints(1, count, 1, shape.size)])
                for part, count in zip(node.inputs[:3], counts, strict=True)
            ]
        if not attribute_int(node, "do_rotary", 0):
            return parts
        for index, heads in enumerate(counts[:2]):
            cos, sin = node.inputs[_BEFORE_ROTATION:_AFTER_ROTATION]
            attributes = {"interleaved": attribute_int(node, "rotary_interleaved", 0), "num_heads": heads}
            width = (axes(cos) or (None,))[-1]
            if isinstance(width, int):
                attributes["rotary_embedding_dim"] = 2 * width
            parts[index] = self._emit(
                "RotaryEmbedding", [parts[index], self._step.position, cos, sin], attributes, domain=MICROSOFT
            )
        return parts

    def _turned(self, x: onnx_ir.Value | None, apart: Sequence[int], whole: Sequence[int]) -> onnx_ir.Value:
        """With the second and the third of the axes `apart` in each other's place, as `whole`."""
        y = self._emit("Reshape", [x, self._ints(*apart)])
        y = self._emit("Transpose", [y], {"perm": [0, 2, 1, 3]})
        return self._emit("Reshape", [y, self._ints(*whole)])

    def _ints(self, *numbers: int) -> onnx_ir.Value:
        return _ints(self._graph, *numbers)

    def _emit(
        self,
        op_type: str,
        inputs: Sequence[onnx_ir.Value | None],
        attributes: dict[str, Any] | None = None,
        *,
        domain: str = "",
    ) -> onnx_ir.Value:
        return self._several(op_type, inputs, attributes or {}, domain=domain)[0]

    def _several(
        self,
        op_type: str,
        inputs: Sequence[onnx_ir.Value | None],
        attributes: dict[str, Any],
        *,
        domain: str = "",
        outputs: int = 1,
    ) -> Sequence[onnx_ir.Value]:
        node = onnx_ir.node(op_type, inputs, attributes, domain=domain, num_outputs=outputs)
        for place, output in enumerate(node.outputs):
            # A name that no value has in the graph around it.
            output.name = f"{self._node.outputs[0].name}.grouped.{len(self._nodes)}.{place}"
        self._nodes.append(node)
        return node.outputs
