"""Attention in plain products: found in a graph, and written into a branch, for all queries or block by block.

    softmax(scale * Q K^T + bias) V, of as many queries as keys

In blocks it is a Loop: 256 queries by all keys, or where a bias hides the keys beyond a window, by those in their
windows. A bias, which is as large as a head's scores, is computed for a block from what it is made of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx_ir

from onnxpress_exporter.passes.graph import add_constant, attribute_int, axes, consumers, producer, rank, scalar
from onnxpress_exporter.passes.simplify_mask import MASKED, range_from_zero
from onnxpress_exporter.passes.subgraph import NewNodes

#: Queries of a block. (8,000 tokens by 12 heads of 32, two cores: 128, 256 and 512 take as long, 512 half as much again
#: in memory.)
BLOCK = 256

#: The axes of the queries and of the keys in scores.
QUERIES, KEYS = 2, 3
_INT64, _BOOL = onnx_ir.DataType.INT64, onnx_ir.DataType.BOOL
#: Operators whose result at a place follows from their inputs at this place.
_BY_PLACE = frozenset(
    {
        *("Where", "And", "Or", "Not", "Abs", "Neg", "Sub", "Add", "Mul", "Cast"),
        *("Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal"),
    }
)


@dataclass(frozen=True, slots=True)
class PlainAttention:
    """One attention. `between`: the nodes from the scores to the softmax, each with the place of the operand that the
    scores are. `tokens`: the name of the axis."""

    scores: onnx_ir.Node
    between: tuple[tuple[onnx_ir.Node, int], ...]
    softmax: onnx_ir.Node
    mixed: onnx_ir.Node

    @property
    def queries(self) -> onnx_ir.Value:
        """float (batch, heads, tokens, size)."""
        return _input(self.scores, 0)

    @property
    def keys(self) -> onnx_ir.Value:
        """float (batch, heads, size, tokens)."""
        return _input(self.scores, 1)

    @property
    def values(self) -> onnx_ir.Value:
        """float (batch, heads, tokens, size)."""
        return _input(self.mixed, 1)

    @property
    def biases(self) -> list[onnx_ir.Value]:
        """What is added to scores, and what they are multiplied by."""
        return [_input(node, 1 - place) for node, place in self.between]

    @property
    def tokens(self) -> str:
        """The name of the axis of the queries, and of the keys."""
        return str(_axis(self.queries, QUERIES))

    def turned(self, into: NewNodes) -> onnx_ir.Value:
        """The keys, with the node that turns them beside their product: ONNX Runtime makes one node of both."""
        turn = producer(self.keys, "Transpose")
        return self.keys if turn is None else into.copy(turn, turn.inputs)


def find_attention(softmax: onnx_ir.Node) -> PlainAttention | None:
    """The attention that a node is the softmax of; None: it is no softmax, or one of something else."""
    if (
        softmax.op_type != "Softmax"
        or rank(softmax.inputs[0]) != 4
        or attribute_int(softmax, "axis", -1) not in (-1, 3)
    ):
        return None
    mixed = _only_reader(softmax.outputs[0])
    if mixed is None or mixed.op_type != "MatMul" or mixed.inputs[0] is not softmax.outputs[0]:
        return None
    between: list[tuple[onnx_ir.Node, int]] = []
    node = producer(softmax.inputs[0], "Add", "Mul", "Div", "MatMul")
    while node is not None and _only_reader(node.outputs[0]) is not None and node.op_type != "MatMul":
        place = next((at for at, value in enumerate(node.inputs) if _leads_to_product(value)), None)
        if place is None or (place == 1 and node.op_type == "Div"):
            return None
        between.insert(0, (node, place))
        node = producer(node.inputs[place], "Add", "Mul", "Div", "MatMul")
    if node is None or _only_reader(node.outputs[0]) is None:
        return None
    attention = PlainAttention(node, tuple(between), softmax, mixed)
    fits = all(scalar(bias) is not None or rank(bias) == 4 for bias in attention.biases)
    places = ((attention.queries, QUERIES), (attention.keys, KEYS), (attention.values, QUERIES))
    sizes = [_axis(value, axis) for value, axis in places]
    return attention if fits and isinstance(sizes[0], str) and len(set(sizes)) == 1 else None


def _leads_to_product(value: onnx_ir.Value | None) -> bool:
    node = producer(value, "Add", "Mul", "Div", "MatMul")
    if node is None or rank(value) != 4:
        return False
    return node.op_type == "MatMul" or any(map(_leads_to_product, node.inputs))


def _only_reader(value: onnx_ir.Value) -> onnx_ir.Node | None:
    readers = consumers(value)
    return None if len(readers) != 1 or value.is_graph_output() else readers[0]


def _input(node: onnx_ir.Node, place: int) -> onnx_ir.Value:
    value = node.inputs[place]
    if value is None:
        raise ValueError(f"{node.op_type} has no input {place}")
    return value


def _axis(value: onnx_ir.Value, axis: int) -> int | str | None:
    """The size or the name of an axis of four; None: it has none, or there are not four."""
    return (axes(value) or ())[axis] if rank(value) == 4 else None


def attend(
    into: NewNodes,
    attention: PlainAttention,
    queries: onnx_ir.Value,
    keys: onnx_ir.Value,
    values: onnx_ir.Value,
    biases: Mapping[int, onnx_ir.Value],
    *,
    shaped: bool,
) -> onnx_ir.Value:
    """The nodes of an attention once more, over other values; their result.

    Args:
        biases: by the `id` of what it is of all queries.
        shaped: whether the values are as large as those that they stand for.
    """
    scores = into.copy(attention.scores, [queries, keys], shaped=shaped)
    for node, place in attention.between:
        other = biases[id(node.inputs[1 - place])]
        scores = into.copy(node, [other, scores] if place else [scores, other], shaped=shaped)
    return into.copy(attention.mixed, [into.copy(attention.softmax, [scores], shaped=shaped), values], shaped=shaped)


# Biases.


def is_of_all_pairs(bias: onnx_ir.Value, tokens: str) -> bool:
    """Whether a bias has a number for each query and key, and is computed place by place."""
    return _has_all_pairs(bias, tokens) and _made_by_place(bias) is not None


def whole_bias(into: NewNodes, bias: onnx_ir.Value, tokens: str) -> onnx_ir.Value:
    """The nodes of a bias once more, those of them that compute numbers for each query and key."""
    node = _made_by_place(bias) if _has_all_pairs(bias, tokens) else None
    if node is None:
        return bias
    return into.copy(node, [None if value is None else whole_bias(into, value, tokens) for value in node.inputs])


def _has_all_pairs(value: onnx_ir.Value, tokens: str) -> bool:
    return _axis(value, QUERIES) == tokens == _axis(value, KEYS)


def _made_by_place(value: onnx_ir.Value) -> onnx_ir.Node | None:
    """The node that computes a value from others, each number from those at its place."""
    node = producer(value, *_BY_PLACE)
    return node if node and all(rank(it) == 4 or scalar(it) is not None for it in node.inputs) else None


# Blocks.


@dataclass(slots=True)
class _Block:
    """What a block of queries reads. `places`: of the queries and of the keys, unless it reads all of these, the first
    and the one behind the last; int64 (1). `axes`: the numbers of both axes, int64 (1)."""

    into: NewNodes
    tokens: str
    places: dict[int, tuple[onnx_ir.Value, onnx_ir.Value]]
    axes: Mapping[int, onnx_ir.Value]
    done: dict[int, onnx_ir.Value] = field(default_factory=dict)

    def part(self, value: onnx_ir.Value, axis: int, of: int) -> onnx_ir.Value:
        """A value's part for these queries, or for these keys, which stand on one of its axes."""
        if of not in self.places:
            return value
        return self.into.add("Slice", [value, *self.places[of], self.axes[axis]], value.dtype)

    def bias(self, value: onnx_ir.Value) -> onnx_ir.Value:
        """A bias's part, computed from the parts of what it is made of."""
        if id(value) not in self.done:
            cut = [axis for axis in self.places if _axis(value, axis) == self.tokens]
            node = _made_by_place(value) if cut else None
            if node is not None:
                operands = [None if operand is None else self.bias(operand) for operand in node.inputs]
                part = self.into.copy(node, operands, shaped=False)
            else:
                part = value
                for axis in cut:
                    part = self.part(part, axis, axis)
            self.done[id(value)] = part
        return self.done[id(value)]


def in_blocks(graph: onnx_ir.Graph, into: NewNodes, attention: PlainAttention) -> onnx_ir.Value:
    """The nodes of an attention that goes through the queries block by block; their result, float (batch, heads,
    tokens, size).

    A loop returns blocks of one size: the last one ends with the last query, and has some of the one before again.

    Args:
        graph: the main graph, which gets the constants.
    """

    def number(name: str, *values: int) -> onnx_ir.Value:
        return add_constant(graph, name, np.array(values, np.int64))

    def computed(op_type: str, *values: onnx_ir.Value) -> onnx_ir.Value:
        return into.add(op_type, values, _INT64)

    zero, each, dtype = number("places_0", 0), number("places_of_a_block", BLOCK), attention.mixed.outputs[0].dtype
    size = into.add("Shape", [attention.queries], _INT64, {"start": QUERIES, "end": QUERIES + 1})
    blocks = computed("Div", computed("Add", size, number("places_but_one", BLOCK - 1)), each)
    latest, keys = computed("Sub", size, each), attention.turned(into)
    body = _body(number, NewNodes(f"{into.prefix}_block"), attention, keys, (zero, each, latest))
    results = into.add("Loop", [computed("Squeeze", blocks, zero), None], dtype, {"body": body})

    # (blocks, batch, heads, places, size) -> (batch, heads, tokens, size)
    turned = into.add("Transpose", [results], dtype, {"perm": [1, 2, 0, 3, 4]})
    places = computed("Mul", blocks, each)
    width = into.add("Shape", [attention.values], _INT64, {"start": 3, "end": 4})
    shape = into.add("Concat", [number("axes_kept", 0, 0), places, width], _INT64, {"axis": 0})
    flat = into.add("Reshape", [turned, shape], dtype)
    before_last = computed("Sub", places, each)
    again = computed("Add", before_last, computed("Sub", places, size))  # where the last block's own queries begin
    axis = number("axis_2", QUERIES)
    parts = [
        into.add("Slice", [flat, first, end, axis], dtype) for first, end in ((zero, before_last), (again, places))
    ]
    return into.add("Concat", parts, dtype, {"axis": QUERIES}, attention.mixed.outputs[0].shape)


def _body(
    number: Callable[..., onnx_ir.Value],
    into: NewNodes,
    attention: PlainAttention,
    keys: onnx_ir.Value,
    places: tuple[onnx_ir.Value, onnx_ir.Value, onnx_ir.Value],
) -> onnx_ir.Graph:
    """The graph of one block. `places`: 0, those of a block, and where the last one begins."""
    zero, each, latest = places
    at = onnx_ir.Value(name=f"{into.prefix}_at", type=onnx_ir.TensorType(_INT64), shape=onnx_ir.Shape(()))
    goes_on = onnx_ir.Value(name=f"{into.prefix}_goes_on", type=onnx_ir.TensorType(_BOOL), shape=onnx_ir.Shape(()))
    first = into.add("Min", [into.add("Mul", [at, each], _INT64), latest], _INT64)
    end = into.add("Add", [first, each], _INT64)
    block = _Block(
        into,
        attention.tokens,
        {QUERIES: (first, end)},
        {QUERIES: number("axis_2", QUERIES), KEYS: number("axis_3", KEYS)},
    )
    window = min((reach for bias in attention.biases if (reach := _window(bias)) is not None), default=None)
    if window is not None:
        beyond = number(f"window_{window}", window)
        from_key = into.add("Max", [into.add("Sub", [first, beyond], _INT64), zero], _INT64)
        block.places[KEYS] = from_key, into.add("Add", [end, beyond], _INT64)
    mixed = attend(
        into,
        attention,
        block.part(attention.queries, QUERIES, QUERIES),
        block.part(keys, KEYS, KEYS),
        block.part(attention.values, QUERIES, KEYS),
        {id(bias): block.bias(bias) for bias in attention.biases},
        shaped=False,
    )
    still = into.add("Identity", [goes_on], _BOOL, shape=onnx_ir.Shape(()))
    return into.graph("block", [at, goes_on], [still, mixed])


def _window(bias: onnx_ir.Value) -> int | None:
    """How many tokens from a query a bias hides all keys; None: it does not."""
    where = producer(bias, "Where")
    if where is None or scalar(where.inputs[1]) != 0 or scalar(where.inputs[2]) != MASKED:
        return None
    return _reach(where.inputs[0])


def _reach(condition: onnx_ir.Value | None) -> int | None:
    """How far places are apart at most where a condition holds."""
    both = producer(condition, "And")
    if both is not None:
        return min((reach for value in both.inputs if (reach := _reach(value)) is not None), default=None)
    within = producer(condition, "LessOrEqual", "Less")
    distance = None if within is None else producer(within.inputs[0], "Abs")
    apart = None if distance is None else producer(distance.inputs[0], "Sub")
    if within is None or apart is None or not all(map(range_from_zero, apart.inputs)):
        return None
    most = scalar(within.inputs[1])
    return None if most is None else int(most) - (within.op_type == "Less")
