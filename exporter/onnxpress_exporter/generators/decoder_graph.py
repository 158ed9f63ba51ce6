"""An architecture -> its graph: one for prefill and decoding, over a cache that is written in place.

Inputs and outputs are as docs/decisions/0010-generation.md says. Knows no family.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir
import torch

from onnxpress_exporter.generators import blocks
from onnxpress_exporter.generators.architecture import Attention, Decoder, FeedForward, Layer, Rope
from onnxpress_exporter.generators.attention import Cache, Lengths, Rotary, cache_input, grouped_attention
from onnxpress_exporter.generators.blocks import FLOAT, INT32, INT64, Norm


@dataclass(frozen=True, slots=True)
class _Stream:
    """The residual stream: `done` plus, where there is one, a branch that no node has added yet."""

    done: onnx_ir.Value
    branch: onnx_ir.Value | None = None


@dataclass(frozen=True, slots=True)
class _Shared:
    """What all layers read."""

    lengths: Lengths
    bias: onnx_ir.Value | None
    rotary: dict[Rope, Rotary]


def decoder_graph(decoder: Decoder) -> onnx_ir.Model:
    """The graph in float32; its weights are read when it is saved or a pass asks for them."""
    graph = blocks.new_graph("model")
    ids = blocks.graph_input(graph, "input_ids", ["rows", "sequence"], INT64)
    positions = None
    if decoder.positions is not None:
        positions = blocks.graph_input(graph, "position_ids", ["rows", "sequence"], INT64)
    seqlens_k = blocks.graph_input(graph, "seqlens_k", ["rows"], INT32)
    lengths = Lengths(seqlens_k, blocks.graph_input(graph, "total_sequence_length", [], INT32))
    kept = blocks.graph_input(graph, "logits_to_keep", ["kept"], INT64)
    caches = [
        cache_input(graph, index, layer.attention.kv_heads, layer.attention.size)
        for index, layer in enumerate(decoder.layers)
    ]
    table = blocks.weight(graph, "embedding", decoder.table)
    shared = _Shared(lengths, _alibi(graph, decoder.slopes, ids, lengths), _rotaries(graph, decoder))
    stream = _embedded(graph, decoder, table, ids, positions)
    for index, (layer, cache) in enumerate(zip(decoder.layers, caches, strict=True)):
        stream = _layer(graph, f"layers.{index}", layer, stream, cache, shared)
    logits = _head(graph, decoder, table, stream, kept)
    blocks.graph_output(graph, logits, "logits", ["rows", "kept", int(decoder.table.shape[0])])
    graph.outputs.insert(0, graph.outputs.pop())
    return blocks.finished(graph)


def _embedded(
    graph: onnx_ir.Graph, decoder: Decoder, table: onnx_ir.Value, ids: onnx_ir.Value, positions: onnx_ir.Value | None
) -> _Stream:
    x = blocks.look_up(graph, "embedded", table, ids)
    if decoder.table_multiplier != 1.0:
        x = blocks.multiply(graph, "embedded.multiplied", x, decoder.table_multiplier)
    if decoder.table_norm is not None:
        x = blocks.normalize(graph, "embedded.norm", x, decoder.table_norm)
    if decoder.project_in is not None:
        x = blocks.linear(graph, "project_in", x, decoder.project_in)
    if decoder.positions is None or positions is None:
        return _Stream(x)
    rows = blocks.weight(graph, "positions", decoder.positions)
    return _Stream(x, blocks.look_up(graph, "embedded.positions", rows, positions))


def _head(
    graph: onnx_ir.Graph, decoder: Decoder, table: onnx_ir.Value, stream: _Stream, kept: onnx_ir.Value
) -> onnx_ir.Value:
    x, _ = _read(graph, "norm", stream, decoder.norm)
    x = blocks.pick(graph, "kept_rows", x, kept)
    if decoder.project_out is not None:
        x = blocks.linear(graph, "project_out", x, decoder.project_out)
    if decoder.head is None:
        x = blocks.tied_linear(graph, "head", x, table)
    else:
        x = blocks.linear(graph, "head", x, decoder.head)
    if decoder.logits_factor != 1.0:
        x = blocks.multiply(graph, "head.multiplied", x, decoder.logits_factor)
    if decoder.logits_softcap is not None:
        x = blocks.multiply(graph, "head.divided", x, 1.0 / decoder.logits_softcap)
        x = blocks.activate(graph, "head.bounded", x, "tanh")
        x = blocks.multiply(graph, "head.capped", x, decoder.logits_softcap)
    return x


# Layers.


def _layer(graph: onnx_ir.Graph, name: str, layer: Layer, stream: _Stream, cache: Cache, shared: _Shared) -> _Stream:
    read, done = _read(graph, f"{name}.before_attention", stream, layer.before_attention)
    attended = _attention(graph, f"{name}.attention", layer.attention, read, cache, shared)
    attended = _returned(graph, f"{name}.after_attention", attended, layer.after_attention, layer.multiplier)
    if layer.parallel:
        if layer.before_feed_forward is not None:
            read = blocks.normalize(graph, f"{name}.before_feed_forward", done, layer.before_feed_forward)
    else:
        stream = _joined(graph, f"{name}.joined_attention", _Stream(done, attended), layer.joined_attention)
        read, done = _read(graph, f"{name}.before_feed_forward", stream, layer.before_feed_forward)
    fed = _feed_forward(graph, f"{name}.feed_forward", layer.feed_forward, read)
    fed = _returned(graph, f"{name}.after_feed_forward", fed, layer.after_feed_forward, layer.multiplier)
    if layer.parallel:
        fed = blocks.add(graph, f"{name}.branches", attended, fed)
    return _joined(graph, f"{name}.joined_feed_forward", _Stream(done, fed), layer.joined_feed_forward)


def _read(graph: onnx_ir.Graph, name: str, stream: _Stream, norm: Norm | None) -> tuple[onnx_ir.Value, onnx_ir.Value]:
    """What a branch reads of the stream, and the stream with everything added."""
    if norm is not None and stream.branch is not None:
        return blocks.add_and_normalize(graph, name, stream.done, stream.branch, norm)
    done = stream.done
    if stream.branch is not None:
        done = blocks.add(graph, f"{name}.sum", done, stream.branch)
    return (done if norm is None else blocks.normalize(graph, name, done, norm)), done


def _returned(
    graph: onnx_ir.Graph, name: str, branch: onnx_ir.Value, norm: Norm | None, multiplier: float
) -> onnx_ir.Value:
    if norm is not None:
        branch = blocks.normalize(graph, name, branch, norm)
    return branch if multiplier == 1.0 else blocks.multiply(graph, f"{name}.multiplied", branch, multiplier)


def _joined(graph: onnx_ir.Graph, name: str, stream: _Stream, norm: Norm | None) -> _Stream:
    return stream if norm is None else _Stream(_read(graph, name, stream, norm)[0])


def _attention(
    graph: onnx_ir.Graph, name: str, attention: Attention, x: onnx_ir.Value, cache: Cache, shared: _Shared
) -> onnx_ir.Value:
    qkv: onnx_ir.Value | tuple[onnx_ir.Value, onnx_ir.Value, onnx_ir.Value]
    qkv = blocks.linear(graph, f"{name}.qkv", x, *attention.projections)
    if attention.clip is not None:
        bounds = [blocks.constant(graph, f"number_{one!r}", one) for one in (-attention.clip, attention.clip)]
        qkv = blocks.emit(graph, f"{name}.clipped", "Clip", [qkv, *bounds])
    if attention.whole_norms is not None or attention.head_norms is not None:
        qkv = _normalized_heads(graph, name, qkv, attention)
    y = grouped_attention(
        graph,
        name,
        qkv,
        cache,
        shared.lengths,
        heads=attention.heads,
        kv_heads=attention.kv_heads,
        scale=attention.scale,
        rotary=None if attention.rope is None else shared.rotary[attention.rope],
        window=attention.window,
        softcap=attention.softcap,
        bias=shared.bias,
    )
    return blocks.linear(graph, f"{name}.output", y, attention.output)


def _normalized_heads(
    graph: onnx_ir.Graph, name: str, qkv: onnx_ir.Value, attention: Attention
) -> tuple[onnx_ir.Value, onnx_ir.Value, onnx_ir.Value]:
    """Queries, keys and values apart, queries and keys normalized: what GroupQueryAttention does on GPUs only."""
    size, kv_width = attention.size, attention.kv_heads * attention.size
    widths = [attention.heads * size, kv_width, kv_width]
    sizes = blocks.constant(graph, f"sizes_{widths[0]}_{kv_width}", widths)
    names = [f"{name}.{one}" for one in ("query", "key", "value")]
    parts = blocks.emit_several(graph, names, "Split", [qkv, sizes], {"axis": -1})
    for part, width in zip(parts, widths, strict=True):
        part.shape = onnx_ir.Shape(["rows", "sequence", width])
    normalized = []
    for part, width, norm in zip(parts, widths, attention.whole_norms or attention.head_norms or (), strict=False):
        if attention.head_norms is None:
            normalized.append(blocks.normalize(graph, f"{part.name}_norm", part, norm))
            continue
        apart = blocks.constant(graph, f"shape_{size}", [0, 0, -1, size])
        heads = ["rows", "sequence", width // size, size]
        x = blocks.emit(graph, f"{part.name}_heads", "Reshape", [part, apart], axes=heads)
        x = blocks.normalize(graph, f"{part.name}_norm", x, norm)
        whole = blocks.constant(graph, "shape_whole", [0, 0, -1])
        normalized.append(
            blocks.emit(graph, f"{part.name}_whole", "Reshape", [x, whole], axes=["rows", "sequence", width])
        )
    return normalized[0], normalized[1], parts[2]


def _feed_forward(graph: onnx_ir.Graph, name: str, feed_forward: FeedForward, x: onnx_ir.Value) -> onnx_ir.Value:
    x = blocks.linear(graph, f"{name}.up", x, *feed_forward.up)
    if feed_forward.gated:
        gate, rest = blocks.halves(graph, f"{name}.halves", x)
        gate = blocks.activate(graph, f"{name}.activated", gate, feed_forward.activation)
        x = blocks.multiply(graph, f"{name}.gated", gate, rest)
    else:
        x = blocks.activate(graph, f"{name}.activated", x, feed_forward.activation)
    return blocks.linear(graph, f"{name}.down", x, feed_forward.down)


# Positions.


def _rotaries(graph: onnx_ir.Graph, decoder: Decoder) -> dict[Rope, Rotary]:
    found: dict[Rope, Rotary] = {}
    for rope in (layer.attention.rope for layer in decoder.layers):
        if rope is not None and rope not in found:
            if decoder.limit is None:
                raise ValueError("positions by rotation need a limit")
            angles = torch.arange(decoder.limit, dtype=torch.float32)[:, None] * rope.frequencies.float().cpu()
            found[rope] = Rotary(
                blocks.weight(graph, f"{rope.name}.cos", angles.cos() * rope.factor),
                blocks.weight(graph, f"{rope.name}.sin", angles.sin() * rope.factor),
                rope.interleaved,
            )
    return found


def _alibi(
    graph: onnx_ir.Graph, slopes: torch.Tensor | None, ids: onnx_ir.Value, lengths: Lengths
) -> onnx_ir.Value | None:
    """slope * position of the key, (1, heads, sequence, total): what depends on the query alone softmax ignores."""
    if slopes is None:
        return None
    total = blocks.emit(graph, "alibi.total", "Cast", [lengths.total], {"to": int(FLOAT)}, axes=[])
    zero, one = blocks.constant(graph, "number_0.0", 0.0), blocks.constant(graph, "number_1.0", 1.0)
    keys = blocks.emit(graph, "alibi.keys", "Range", [zero, total, one], axes=["total"])
    heads = int(slopes.shape[0])
    per_head = blocks.weight(graph, "alibi.slopes", slopes.reshape(1, heads, 1, 1))
    row = blocks.emit(graph, "alibi.row", "Mul", [per_head, keys], axes=[1, heads, 1, "total"])
    sequence = blocks.emit(graph, "sequence", "Shape", [ids], {"start": 1, "end": 2}, axes=[1], dtype=INT64)
    ones = blocks.constant(graph, "one_one", [1, 1])
    last = blocks.constant(graph, "one", [1])
    shape = blocks.emit(graph, "alibi.shape", "Concat", [ones, sequence, last], {"axis": 0}, axes=[4], dtype=INT64)
    return blocks.emit(graph, "alibi", "Expand", [row, shape], axes=[1, heads, "sequence", "total"])
