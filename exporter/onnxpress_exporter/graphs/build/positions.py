"""Positions as a graph's constants and nodes: tables of rotation, ALiBi's bias. Knows no family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx_ir
import torch

from onnxpress_exporter.graphs.build import blocks
from onnxpress_exporter.graphs.build.architecture import Decoder, Rope
from onnxpress_exporter.graphs.build.attention import Lengths, Rotary
from onnxpress_exporter.graphs.build.blocks import FLOAT, INT64
from onnxpress_exporter.passes.graph import MICROSOFT

#: GroupQueryAttention rotates a multiple of so many pairs.
_PAIRS = 8


@dataclass(frozen=True, slots=True)
class Positions:
    """What the layers of a graph share.

    rotary: the tables of each rotation. outside: where the tokens stand, int64 (rows, sequence), where a rotation is
    not one that the attention's kernel takes. bias: ALiBi's, float32 (1, heads, sequence, total).
    """

    rotary: Mapping[Rope, Rotary]
    outside: onnx_ir.Value | None
    bias: onnx_ir.Value | None


def positions(graph: onnx_ir.Graph, decoder: Decoder, ids: onnx_ir.Value, lengths: Lengths) -> Positions:
    """The constants, and the nodes that need no layer's values."""
    ropes = [layer.attention.rope for layer in decoder.layers]
    found = {rope: _rotary(graph, rope, decoder.limit) for rope in dict.fromkeys(ropes) if rope is not None}
    outside = _standing(graph, ids, lengths) if any(not inside_kernel(rope) for rope in found) else None
    return Positions(found, outside, None if decoder.slopes is None else _alibi(graph, decoder.slopes, ids, lengths))


def inside_kernel(rope: Rope) -> bool:
    """Whether GroupQueryAttention can rotate so."""
    return int(rope.frequencies.shape[0]) % _PAIRS == 0


def rotate(
    graph: onnx_ir.Graph, name: str, x: onnx_ir.Value, rope: Rope, shared: Positions, heads: int
) -> onnx_ir.Value:
    """Queries or keys (rows, sequence, heads * size), rotated in a node of its own."""
    rotary = shared.rotary[rope]
    attributes = {
        "num_heads": heads,
        "rotary_embedding_dim": 2 * int(rope.frequencies.shape[0]),
        "interleaved": int(rope.interleaved),
    }
    inputs = [x, shared.outside, rotary.cos, rotary.sin]
    axes = blocks.axes_of(x.shape)
    return blocks.emit(graph, name, "RotaryEmbedding", inputs, attributes, domain=MICROSOFT, axes=axes)


def _rotary(graph: onnx_ir.Graph, rope: Rope, limit: int | None) -> Rotary:
    if limit is None:
        raise ValueError("positions by rotation need a limit")
    angles = torch.arange(limit, dtype=torch.float32)[:, None] * rope.frequencies.float().cpu()
    cos, sin = angles.cos() * rope.factor, angles.sin() * rope.factor
    return Rotary(
        blocks.weight(graph, f"{rope.name}.cos", cos), blocks.weight(graph, f"{rope.name}.sin", sin), rope.interleaved
    )


def _standing(graph: onnx_ir.Graph, ids: onnx_ir.Value, lengths: Lengths) -> onnx_ir.Value:
    """The last of this call's tokens is its row's last."""
    one, all_axes = blocks.constant(graph, "int_1", 1), blocks.constant(graph, "ints_1", [1])
    shape = blocks.emit(graph, "tokens", "Shape", [ids], {"start": 1, "end": 2}, axes=[1], dtype=INT64)
    count = blocks.emit(graph, "tokens.count", "Squeeze", [shape], axes=[], dtype=INT64)
    start = blocks.emit(graph, "tokens.start", "Sub", [one, count], axes=[], dtype=INT64)
    back = blocks.emit(graph, "tokens.back", "Range", [start, one, one], axes=["sequence"], dtype=INT64)
    last = blocks.emit(graph, "last", "Cast", [lengths.seqlens_k], {"to": int(INT64)}, axes=["rows"], dtype=INT64)
    column = blocks.emit(graph, "last.column", "Unsqueeze", [last, all_axes], axes=["rows", 1], dtype=INT64)
    return blocks.emit(graph, "standing", "Add", [column, back], axes=["rows", "sequence"], dtype=INT64)


def _alibi(graph: onnx_ir.Graph, slopes: torch.Tensor, ids: onnx_ir.Value, lengths: Lengths) -> onnx_ir.Value:
    """slope * position of the key: softmax ignores what depends on the query alone."""
    heads = int(slopes.shape[0])
    zero, one = blocks.constant(graph, "number_0.0", 0.0), blocks.constant(graph, "number_1.0", 1.0)
    total = blocks.emit(graph, "alibi.total", "Cast", [lengths.total], {"to": int(FLOAT)}, axes=[])
    keys = blocks.emit(graph, "alibi.keys", "Range", [zero, total, one], axes=["total"])
    per_head = blocks.weight(graph, "alibi.slopes", slopes.reshape(1, heads, 1, 1))
    row = blocks.emit(graph, "alibi.row", "Mul", [per_head, keys], axes=[1, heads, 1, "total"])
    tokens = blocks.emit(graph, "tokens", "Shape", [ids], {"start": 1, "end": 2}, axes=[1], dtype=INT64)
    first, last = blocks.constant(graph, "ints_1_1", [1, 1]), blocks.constant(graph, "ints_1", [1])
    shape = blocks.emit(graph, "alibi.shape", "Concat", [first, tokens, last], {"axis": 0}, axes=[4], dtype=INT64)
    return blocks.emit(graph, "alibi", "Expand", [row, shape], axes=[1, heads, "sequence", "total"])
