"""Where tokens stand, as a graph's constants and nodes: rotation, ALiBi, biases by distance. Knows no family."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import onnx_ir
import torch

from onnxpress_exporter.graphs.build.architecture import Attention, DistanceBias, Rope, Stack
from onnxpress_exporter.graphs.build.nodes import FLOAT, INT64, axes_of, constant, emit, weight
from onnxpress_exporter.passes.graph import MICROSOFT, attribute_int, consumers

#: GroupQueryAttention rotates a multiple of so many pairs.
_PAIRS = 8


@dataclass(frozen=True, slots=True)
class Rotary:
    """Tables float32 (positions, rotated size / 2)."""

    cos: onnx_ir.Value
    sin: onnx_ir.Value


@dataclass(frozen=True, slots=True)
class Lengths:
    """`seqlens_k` int32 (rows): tokens of each row less one; `total` int32 (): of the longest row."""

    seqlens_k: onnx_ir.Value
    total: onnx_ir.Value


@dataclass(frozen=True, slots=True)
class Positions:
    """What the layers of a graph share.

    rotary: the tables of each rotation. standing: where the tokens stand, int64 (rows, sequence), where a rotation is
    not one that the attention's kernel takes. alibi: its bias, float32 (1, heads, sequence, total).
    columns: of a table of distances, int64 (queries, keys). biases: float32 (1, heads, queries, keys), so far.
    """

    rotary: dict[Rope, Rotary] = field(default_factory=dict)
    standing: onnx_ir.Value | None = None
    alibi: onnx_ir.Value | None = None
    columns: onnx_ir.Value | None = None
    biases: dict[DistanceBias, onnx_ir.Value] = field(default_factory=dict)


def decoder_positions(graph: onnx_ir.Graph, stack: Stack, x: onnx_ir.Value, lengths: Lengths) -> Positions:
    """Of tokens `x` (rows, sequence, ...) that are the last ones of their rows."""
    layers = stack.attentions("causal")
    rotary = {
        rope: _rotary(graph, rope, stack.limit)
        for rope in dict.fromkeys(attention.rope for attention in layers)
        if rope is not None
    }
    span = _span(layers)
    outside = any(not inside_kernel(rope) for rope in rotary)
    return Positions(
        rotary,
        _standing(graph, x, lengths) if outside else None,
        None if stack.slopes is None else _alibi(graph, stack.slopes, x, lengths),
        None if span is None else _columns_after(graph, x, lengths, span - 1),
    )


def encoder_positions(graph: onnx_ir.Graph, stack: Stack, x: onnx_ir.Value) -> tuple[Positions, onnx_ir.Value | None]:
    """Of whole texts `x` (texts, encoder_sequence), and the places, int64 (encoder_sequence), if anyone reads them."""
    span = _span(stack.attentions("bidirectional"))
    if span is None and stack.embedding.positions is None:
        return Positions(), None
    length = emit(
        graph,
        "length",
        "Squeeze",
        [size_of(graph, "lengths", x, 1), constant(graph, "ints_0", [0])],
        axes=[],
        dtype=INT64,
    )
    places = _up_to(graph, "position_ids", length, str(axes_of(x)[1]))
    return Positions(columns=None if span is None else _columns_around(graph, places, span // 2)), places


def bias_of(graph: onnx_ir.Graph, name: str, attention: Attention, positions: Positions) -> onnx_ir.Value | None:
    """float32 (1, heads, queries, keys), added to the scores; layers that have one in common read one value."""
    bias, columns = attention.distances, positions.columns
    if bias is None or columns is None:
        return positions.alibi
    if bias not in positions.biases:
        table = weight(graph, f"{name}.distances", bias.table[None])
        axes, name = [1, int(bias.table.shape[0]), *axes_of(columns)], f"{name}.distance_bias"
        positions.biases[bias] = emit(graph, name, "Gather", [table, columns], {"axis": 2}, axes=axes)
    return positions.biases[bias]


def inside_kernel(rope: Rope) -> bool:
    """Whether GroupQueryAttention can rotate so."""
    return int(rope.frequencies.shape[0]) % _PAIRS == 0


def rotate(
    graph: onnx_ir.Graph, name: str, x: onnx_ir.Value, rope: Rope, positions: Positions, heads: int
) -> onnx_ir.Value:
    """Queries or keys (rows, sequence, heads * size), rotated in a node of its own."""
    rotary = positions.rotary[rope]
    attributes = {
        "num_heads": heads,
        "rotary_embedding_dim": 2 * int(rope.frequencies.shape[0]),
        "interleaved": int(rope.interleaved),
    }
    inputs = [x, positions.standing, rotary.cos, rotary.sin]
    return emit(graph, name, "RotaryEmbedding", inputs, attributes, domain=MICROSOFT, axes=axes_of(x))


def size_of(graph: onnx_ir.Graph, name: str, x: onnx_ir.Value, axis: int) -> onnx_ir.Value:
    """int64 (1): the size of an axis of `x`, looked up once in a graph."""
    for node in consumers(x):
        if node.op_type == "Shape" and attribute_int(node, "start", 0) == axis:
            return node.outputs[0]
    return emit(graph, name, "Shape", [x], {"start": axis, "end": axis + 1}, axes=[1], dtype=INT64)


def _rotary(graph: onnx_ir.Graph, rope: Rope, limit: int | None) -> Rotary:
    if limit is None:
        raise ValueError("positions by rotation need a limit")
    angles = torch.arange(limit, dtype=torch.float32)[:, None] * rope.frequencies.float().cpu()
    cos, sin = angles.cos() * rope.factor, angles.sin() * rope.factor
    return Rotary(weight(graph, f"{rope.name}.cos", cos), weight(graph, f"{rope.name}.sin", sin))


def _standing(graph: onnx_ir.Graph, x: onnx_ir.Value, lengths: Lengths) -> onnx_ir.Value:
    """The last of this call's tokens is its row's last."""
    step, row_axis = constant(graph, "int_1", 1), constant(graph, "ints_1", [1])
    tokens = size_of(graph, "tokens", x, 1)
    count = emit(graph, "tokens.count", "Squeeze", [tokens], axes=[], dtype=INT64)
    start = emit(graph, "tokens.start", "Sub", [step, count], axes=[], dtype=INT64)
    back = emit(graph, "tokens.back", "Range", [start, step, step], axes=["sequence"], dtype=INT64)
    last = emit(graph, "last", "Cast", [lengths.seqlens_k], {"to": int(INT64)}, axes=["rows"], dtype=INT64)
    column = emit(graph, "last.column", "Unsqueeze", [last, row_axis], axes=["rows", 1], dtype=INT64)
    return emit(graph, "standing", "Add", [column, back], axes=["rows", "sequence"], dtype=INT64)


def _alibi(graph: onnx_ir.Graph, slopes: torch.Tensor, x: onnx_ir.Value, lengths: Lengths) -> onnx_ir.Value:
    """slope * position of the key: softmax ignores what depends on the query alone."""
    heads = int(slopes.shape[0])
    start, step = constant(graph, "number_0.0", 0.0), constant(graph, "number_1.0", 1.0)
    total = emit(graph, "alibi.total", "Cast", [lengths.total], {"to": int(FLOAT)}, axes=[])
    keys = emit(graph, "alibi.keys", "Range", [start, total, step], axes=["total"])
    per_head = weight(graph, "alibi.slopes", slopes.reshape(1, heads, 1, 1))
    row = emit(graph, "alibi.row", "Mul", [per_head, keys], axes=[1, heads, 1, "total"])
    tokens = size_of(graph, "tokens", x, 1)
    first, last = constant(graph, "ints_1_1", [1, 1]), constant(graph, "ints_1", [1])
    shape = emit(graph, "alibi.shape", "Concat", [first, tokens, last], {"axis": 0}, axes=[4], dtype=INT64)
    return emit(graph, "alibi", "Expand", [row, shape], axes=[1, heads, "sequence", "total"])


def _span(layers: Sequence[Attention]) -> int | None:
    """How many distances are told apart; the same in all layers."""
    spans = {int(attention.distances.table.shape[1]) for attention in layers if attention.distances is not None}
    if not spans:
        return None
    (span,) = spans
    return span


def _columns_around(graph: onnx_ir.Graph, places: onnx_ir.Value, span: int) -> onnx_ir.Value:
    """The column for key less query, whose middle is distance 0."""
    axes = axes_of(places)
    queries = _column(graph, "distance.queries", places)
    keys = emit(graph, "distance.keys", "Add", [places, constant(graph, "span", span)], axes=axes, dtype=INT64)
    distances = emit(graph, "distance", "Sub", [keys, queries], axes=[*axes, *axes], dtype=INT64)
    return _clipped(graph, distances, 2 * span)


def _columns_after(graph: onnx_ir.Graph, x: onnx_ir.Value, lengths: Lengths, span: int) -> onnx_ir.Value:
    """The column for query less key; the tokens of this call are the last ones."""
    total = emit(graph, "total", "Cast", [lengths.total], {"to": int(INT64)}, axes=[], dtype=INT64)
    keys = _up_to(graph, "distance.keys", total, "total")
    first = emit(graph, "distance.first", "Neg", [size_of(graph, "tokens", x, 1)], axes=[1], dtype=INT64)
    end = constant(graph, "distance.end", [2**62])
    queries = emit(graph, "distance.queries", "Slice", [keys, first, end], axes=["sequence"], dtype=INT64)
    column = _column(graph, "distance.column", queries)
    distances = emit(graph, "distance", "Sub", [column, keys], axes=["sequence", "total"], dtype=INT64)
    return _clipped(graph, distances, span)


def _clipped(graph: onnx_ir.Graph, x: onnx_ir.Value, highest: int) -> onnx_ir.Value:
    ends = [constant(graph, "int_0", 0), constant(graph, f"int_{highest}", highest)]
    return emit(graph, f"{x.name}.clipped", "Clip", [x, *ends], axes=axes_of(x), dtype=INT64)


def _up_to(graph: onnx_ir.Graph, name: str, length: onnx_ir.Value, axis: str) -> onnx_ir.Value:
    """int64 (length): 0, 1, 2, ...; `length` int64 ()."""
    ends = [constant(graph, "int_0", 0), length, constant(graph, "int_1", 1)]
    return emit(graph, name, "Range", ends, axes=[axis], dtype=INT64)


def _column(graph: onnx_ir.Graph, name: str, x: onnx_ir.Value) -> onnx_ir.Value:
    """int64 (n) -> int64 (n, 1)."""
    return emit(graph, name, "Unsqueeze", [x, constant(graph, "ints_1", [1])], axes=[*axes_of(x), 1], dtype=INT64)
