"""An architecture -> its graph: one for prefill and decoding, over a cache that is written in place.

Inputs and outputs are as docs/decisions/0010-generation.md says. Knows no family.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir

from onnxpress_exporter.graphs.build import blocks
from onnxpress_exporter.graphs.build.architecture import Attention, Decoder, FeedForward, Layer
from onnxpress_exporter.graphs.build.attention import Cache, Lengths, cache_input, grouped_attention
from onnxpress_exporter.graphs.build.blocks import INT32, INT64, Norm
from onnxpress_exporter.graphs.build.positions import Positions, inside_kernel, positions, rotate


@dataclass(frozen=True, slots=True)
class _Stream:
    """The residual stream: `done` plus, where there is one, a branch that no node has added yet."""

    done: onnx_ir.Value
    branch: onnx_ir.Value | None = None


def decoder_graph(decoder: Decoder) -> onnx_ir.Model:
    """The graph in float32; its weights are read when it is saved or a pass asks for them."""
    graph = blocks.new_graph("model")
    ids = blocks.graph_input(graph, "input_ids", ["rows", "sequence"], INT64)
    position_ids = None
    if decoder.positions is not None:
        position_ids = blocks.graph_input(graph, "position_ids", ["rows", "sequence"], INT64)
    seqlens_k = blocks.graph_input(graph, "seqlens_k", ["rows"], INT32)
    lengths = Lengths(seqlens_k, blocks.graph_input(graph, "total_sequence_length", [], INT32))
    kept = blocks.graph_input(graph, "logits_to_keep", ["kept"], INT64)
    caches = [
        cache_input(graph, index, layer.attention.kv_heads, layer.attention.size)
        for index, layer in enumerate(decoder.layers)
    ]
    table = blocks.weight(graph, "embedding", decoder.table)
    shared = positions(graph, decoder, ids, lengths)
    stream = _embedded(graph, decoder, table, ids, position_ids)
    for index, (layer, cache) in enumerate(zip(decoder.layers, caches, strict=True)):
        stream = _layer(graph, f"layers.{index}", layer, stream, cache, lengths, shared)
    logits = _head(graph, decoder, table, stream, kept)
    blocks.graph_output(graph, logits, "logits", ["rows", "kept", int(decoder.table.shape[0])])
    graph.outputs.insert(0, graph.outputs.pop())
    return blocks.finished(graph)


def _embedded(
    graph: onnx_ir.Graph, decoder: Decoder, table: onnx_ir.Value, ids: onnx_ir.Value, position_ids: onnx_ir.Value | None
) -> _Stream:
    x = blocks.look_up(graph, "embedded", table, ids)
    if decoder.table_multiplier != 1.0:
        x = blocks.multiply(graph, "embedded.multiplied", x, decoder.table_multiplier)
    if decoder.table_norm is not None:
        x = blocks.normalize(graph, "embedded.norm", x, decoder.table_norm)
    if decoder.project_in is not None:
        x = blocks.linear(graph, "project_in", x, decoder.project_in)
    if decoder.positions is None or position_ids is None:
        return _Stream(x)
    rows = blocks.weight(graph, "positions", decoder.positions)
    return _Stream(x, blocks.look_up(graph, "embedded.positions", rows, position_ids))


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


def _layer(
    graph: onnx_ir.Graph, name: str, layer: Layer, stream: _Stream, cache: Cache, lengths: Lengths, shared: Positions
) -> _Stream:
    read, done = _read(graph, f"{name}.before_attention", stream, layer.before_attention)
    attended = _attention(graph, f"{name}.attention", layer.attention, read, cache, lengths, shared)
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
    graph: onnx_ir.Graph,
    name: str,
    attention: Attention,
    x: onnx_ir.Value,
    cache: Cache,
    lengths: Lengths,
    shared: Positions,
) -> onnx_ir.Value:
    qkv: onnx_ir.Value | tuple[onnx_ir.Value, onnx_ir.Value, onnx_ir.Value]
    qkv = blocks.linear(graph, f"{name}.qkv", x, *attention.projections)
    if attention.clip is not None:
        bounds = [blocks.constant(graph, f"number_{one!r}", one) for one in (-attention.clip, attention.clip)]
        qkv = blocks.emit(graph, f"{name}.clipped", "Clip", [qkv, *bounds])
    rope = attention.rope
    outside = rope is not None and not inside_kernel(rope)
    if outside or attention.whole_norms is not None or attention.head_norms is not None:
        qkv = _apart(graph, name, qkv, attention, shared)
    y = grouped_attention(
        graph,
        name,
        qkv,
        cache,
        lengths,
        heads=attention.heads,
        kv_heads=attention.kv_heads,
        scale=attention.scale,
        rotary=None if rope is None or outside else shared.rotary[rope],
        window=attention.window,
        softcap=attention.softcap,
        bias=shared.bias,
    )
    return blocks.linear(graph, f"{name}.output", y, attention.output)


def _apart(
    graph: onnx_ir.Graph, name: str, qkv: onnx_ir.Value, attention: Attention, shared: Positions
) -> tuple[onnx_ir.Value, onnx_ir.Value, onnx_ir.Value]:
    """Queries, keys and values, with what GroupQueryAttention does not do on a CPU: norms, and some rotations."""
    heads = attention.heads, attention.kv_heads, attention.kv_heads
    widths = [one * attention.size for one in heads]
    sizes = blocks.constant(graph, f"sizes_{widths[0]}_{widths[1]}", widths)
    names = [f"{name}.{one}" for one in ("query", "key", "value")]
    parts = list(blocks.emit_several(graph, names, "Split", [qkv, sizes], {"axis": -1}))
    for part, width in zip(parts, widths, strict=True):
        part.shape = onnx_ir.Shape(["rows", "sequence", width])
    for index in (0, 1):
        if attention.whole_norms is not None:
            parts[index] = blocks.normalize(graph, f"{names[index]}_norm", parts[index], attention.whole_norms[index])
        if attention.head_norms is not None:
            parts[index] = _norm_of_heads(graph, names[index], parts[index], attention.head_norms[index], heads[index])
        if attention.rope is not None and not inside_kernel(attention.rope):
            parts[index] = rotate(graph, f"{names[index]}_rotated", parts[index], attention.rope, shared, heads[index])
    return parts[0], parts[1], parts[2]


def _norm_of_heads(graph: onnx_ir.Graph, name: str, x: onnx_ir.Value, norm: Norm, heads: int) -> onnx_ir.Value:
    size = int(norm.weight.shape[0])
    apart, whole = (
        blocks.constant(graph, f"shape_{size}", [0, 0, -1, size]),
        blocks.constant(graph, "shape", [0, 0, -1]),
    )
    y = blocks.emit(graph, f"{name}_heads", "Reshape", [x, apart], axes=["rows", "sequence", heads, size])
    y = blocks.normalize(graph, f"{name}_norm", y, norm)
    return blocks.emit(graph, f"{name}_whole", "Reshape", [y, whole], axes=["rows", "sequence", heads * size])


def _feed_forward(graph: onnx_ir.Graph, name: str, feed_forward: FeedForward, x: onnx_ir.Value) -> onnx_ir.Value:
    x = blocks.linear(graph, f"{name}.up", x, *feed_forward.up)
    if feed_forward.gated:
        gate, rest = blocks.halves(graph, f"{name}.halves", x)
        gate = blocks.activate(graph, f"{name}.activated", gate, feed_forward.activation)
        x = blocks.multiply(graph, f"{name}.gated", gate, rest)
    else:
        x = blocks.activate(graph, f"{name}.activated", x, feed_forward.activation)
    return blocks.linear(graph, f"{name}.down", x, feed_forward.down)
