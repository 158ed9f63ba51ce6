"""An encoder-decoder's decoder as a graph, from its weights: one for the first and for every later token.

    input_ids: int64 (rows, sequence), rows = texts * k; position_ids as well, where the text has positions
    encoder_attention_mask: int64 (texts, encoder_sequence)
    total_sequence_length: int32 (): tokens so far, this call's included; seqlens_k: int32 (rows): the same, less one
    logits_to_keep: int64 (kept)
    past_key_values.N.decoder.key, .value: float32 (rows, heads, capacity, size), written in place
    past_key_values.N.encoder.key, .value: float32 (texts, heads, encoder_sequence, size), as the encoder returns them
    with_log_normalizer: bool ()
    -> logits: float32 (rows, kept, vocabulary); present.N.decoder.key, .value
       log_normalizer: float32 (rows, kept, 1), if it is asked for: the logarithm of the sum of the logits' exponentials

All rows have as many tokens. The k rows of a text stand side by side: they are k queries to its keys, read once.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir

from onnxpress_exporter.graphs.build.attention import (
    Cache,
    Lengths,
    cache_input,
    grouped_attention,
    multi_head_attention,
)
from onnxpress_exporter.graphs.build.blocks import (
    INT32,
    INT64,
    Axes,
    Linear,
    add,
    constant,
    emit,
    finished,
    graph_input,
    graph_output,
    linear,
    new_graph,
    pick,
    tied_linear,
    weight,
)
from onnxpress_exporter.graphs.build.encoder_decoder import Attention, DecoderLayer, DistanceBias, EncoderDecoder, Head
from onnxpress_exporter.graphs.build.residual import (
    Branch,
    as_column,
    clipped,
    distance_bias,
    embed,
    feed_forward,
    positions_up_to,
    run_branches,
    size_of,
)
from onnxpress_exporter.passes.log_normalizer import log_normalizer

TOKENS = ("rows", "sequence")
SOURCE = ("texts", "encoder_sequence")


@dataclass(frozen=True, slots=True)
class _Call:
    """What all layers share: `mask` int32 (texts, encoder_sequence), shapes to group rows by texts and back."""

    mask: onnx_ir.Value
    by_text: onnx_ir.Value
    by_row: onnx_ir.Value
    lengths: Lengths
    columns: onnx_ir.Value | None
    biases: dict[int, onnx_ir.Value]


def seq2seq_decoder_graph(model: EncoderDecoder) -> onnx_ir.Model:
    """The graph `decoder_model_merged`."""
    graph = new_graph("decoder_model_merged")
    decoder = model.decoder
    ids = graph_input(graph, "input_ids", TOKENS, INT64)
    positions = None
    if decoder.embedding.positions is not None:
        positions = graph_input(graph, "position_ids", TOKENS, INT64)
    given_mask = graph_input(graph, "encoder_attention_mask", SOURCE, INT64)
    seqlens_k = graph_input(graph, "seqlens_k", ["rows"], INT32)
    total = graph_input(graph, "total_sequence_length", [], INT32)
    kept = graph_input(graph, "logits_to_keep", ["kept"], INT64)
    own = [cache_input(graph, i, one.attention.heads, one.attention.size, "decoder.") for i, one in _numbered(model)]
    encoded = [_encoder_input(graph, index, layer.cross) for index, layer in _numbered(model)]
    sequence = size_of(graph, "sequence_length", ids, 1)
    width = decoder.layers[0].cross.width
    call = _Call(
        mask=emit(graph, "mask", "Cast", [given_mask], {"to": int(INT32)}, axes=SOURCE, dtype=INT32),
        by_text=_shape(
            graph, "by_text", size_of(graph, "texts", given_mask, 0), constant(graph, "queries", [-1, width])
        ),
        by_row=_shape(graph, "by_row", constant(graph, "any_rows", [-1]), sequence, constant(graph, "width", [width])),
        lengths=Lengths(seqlens_k, total),
        columns=_columns(graph, total, sequence, [layer.bias for layer in decoder.layers]),
        biases={},
    )
    x, table = embed(graph, "decoder", ids, decoder.embedding, positions)
    branches = []
    for index, layer in _numbered(model):
        branches += _layer(graph, f"decoder.{index}", layer, own[index], encoded[index], call)
    x = run_branches(graph, "decoder", x, branches, decoder.final_norm)
    logits = _head(graph, pick(graph, "kept", x, kept), model.head, table)
    graph_output(graph, logits, "logits", ["rows", "kept", _vocabulary(model)])
    # Logits come first, by custom.
    graph.outputs.insert(0, graph.outputs.pop())
    found = finished(graph)
    # A bias may forbid a token with a number so large that nothing could be told from its score.
    log_normalizer(found, 0 if model.head.bias is None else int(model.head.bias.argmax()))
    return found


def _vocabulary(model: EncoderDecoder) -> int:
    weight = model.decoder.embedding.table if model.head.weight is None else model.head.weight
    return int(weight.shape[0])


def _numbered(model: EncoderDecoder) -> list[tuple[int, DecoderLayer]]:
    return list(enumerate(model.decoder.layers))


def _encoder_input(graph: onnx_ir.Graph, layer: int, cross: Attention) -> tuple[onnx_ir.Value, onnx_ir.Value]:
    shape: Axes = [SOURCE[0], cross.heads, SOURCE[1], cross.size]
    key, value = (graph_input(graph, f"past_key_values.{layer}.encoder.{one}", shape) for one in ("key", "value"))
    return key, value


def _shape(graph: onnx_ir.Graph, name: str, *parts: onnx_ir.Value) -> onnx_ir.Value:
    return emit(graph, name, "Concat", parts, {"axis": 0}, axes=[3], dtype=INT64)


def _layer(
    graph: onnx_ir.Graph,
    name: str,
    layer: DecoderLayer,
    own: Cache,
    encoded: tuple[onnx_ir.Value, onnx_ir.Value],
    call: _Call,
) -> list[Branch]:
    def remember(x: onnx_ir.Value) -> onnx_ir.Value:
        one = layer.attention
        bias = None
        if layer.bias is not None and call.columns is not None:
            bias = distance_bias(graph, name, layer.bias, call.columns, call.biases)
        qkv = linear(graph, f"{name}.attention.qkv", x, one.query, one.key, one.value)
        return grouped_attention(
            graph,
            f"{name}.attention",
            qkv,
            own,
            call.lengths,
            heads=one.heads,
            kv_heads=one.heads,
            scale=one.scale,
            bias=bias,
        )

    def look(x: onnx_ir.Value) -> onnx_ir.Value:
        return _cross_attention(graph, f"{name}.cross", x, layer.cross, encoded, call)

    def think(x: onnx_ir.Value) -> onnx_ir.Value:
        return feed_forward(graph, f"{name}.feed_forward", x, layer.feed_forward)

    return [
        Branch(f"{name}.attention", layer.attention_norm, remember, layer.attention.output),
        Branch(f"{name}.cross", layer.cross_norm, look, layer.cross.output),
        Branch(f"{name}.feed_forward", layer.feed_forward_norm, think, layer.feed_forward.down),
    ]


def _cross_attention(
    graph: onnx_ir.Graph,
    name: str,
    x: onnx_ir.Value,
    attention: Attention,
    encoded: tuple[onnx_ir.Value, onnx_ir.Value],
    call: _Call,
) -> onnx_ir.Value:
    """(rows, sequence, heads * size): what all rows of a text see of it."""
    width = attention.width
    q = linear(graph, f"{name}.query", x, Linear(attention.query.weight))
    q = emit(graph, f"{name}.queries", "Reshape", [q, call.by_text], axes=[SOURCE[0], None, width])
    projections = None
    if attention.query.bias is not None:
        # The kernel adds the queries' part of it alone, keys and values being given in heads.
        bias = attention.query.bias
        projections = weight(graph, f"{name}.biases", bias, bias.new_zeros(2 * width))
    y = multi_head_attention(
        graph,
        f"{name}.seen",
        q,
        *encoded,
        heads=attention.heads,
        scale=attention.scale,
        mask=call.mask,
        projections=projections,
    )
    return emit(graph, name, "Reshape", [y, call.by_row], axes=[*TOKENS, width])


def _columns(
    graph: onnx_ir.Graph, total: onnx_ir.Value, sequence: onnx_ir.Value, biases: list[DistanceBias | None]
) -> onnx_ir.Value | None:
    """int64 (sequence, total): the column for query less key; the tokens of this call are the last ones."""
    spans = {int(one.table.shape[1]) - 1 for one in biases if one is not None}
    if not spans:
        return None
    (span,) = spans
    length = emit(graph, "total", "Cast", [total], {"to": int(INT64)}, axes=[], dtype=INT64)
    keys = positions_up_to(graph, "distance.keys", length, "total")
    from_end = emit(graph, "distance.first", "Neg", [sequence], axes=[1], dtype=INT64)
    end = constant(graph, "distance.end", [2**62])
    queries = emit(graph, "distance.queries", "Slice", [keys, from_end, end], axes=["sequence"], dtype=INT64)
    column = as_column(graph, "distance.column", queries)
    distances = emit(graph, "distance", "Sub", [column, keys], axes=["sequence", "total"], dtype=INT64)
    return clipped(graph, "distance.clipped", distances, 0, span)


def _head(graph: onnx_ir.Graph, x: onnx_ir.Value, head: Head, table: onnx_ir.Value) -> onnx_ir.Value:
    y = tied_linear(graph, "head", x, table) if head.weight is None else linear(graph, "head", x, Linear(head.weight))
    if head.bias is None:
        return y
    return add(graph, "head.biased", y, weight(graph, "head.bias", head.bias))
