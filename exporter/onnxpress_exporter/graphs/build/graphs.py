"""An architecture -> its graphs, in float32, as docs/decisions/0010-generation.md describes them.

One graph of a decoder serves prefill and decoding, over a cache that is written in place. What its layers need of an
encoder's text is computed once, in the encoder's graph. Weights are read when a graph is saved or a pass asks for them.
"""

from __future__ import annotations

import onnx_ir

from onnxpress_exporter.graphs.build.architecture import Architecture, Attention, LanguageHead, Linear, SoundStack
from onnxpress_exporter.graphs.build.attention import (
    aligning_queries,
    cache_input,
    causal_attention,
    cross_attention,
    encoded_input,
    encoded_output,
    text_attention,
)
from onnxpress_exporter.graphs.build.embed import embed, place, width_of
from onnxpress_exporter.graphs.build.linear import linear
from onnxpress_exporter.graphs.build.mlp import activate
from onnxpress_exporter.graphs.build.nodes import (
    INT32,
    INT64,
    axes_of,
    emit,
    finished,
    graph_input,
    graph_output,
    multiply,
    new_graph,
    pick,
    weight,
)
from onnxpress_exporter.graphs.build.positions import Lengths, Positions, decoder_positions, encoder_positions
from onnxpress_exporter.graphs.build.sounds import sound_stream
from onnxpress_exporter.graphs.build.stack import Attend, run_layers
from onnxpress_exporter.graphs.names import ALIGNING_QUERIES, CROSS_DECODER, DECODER, ENCODER, TEXT_MASK
from onnxpress_exporter.passes.log_normalizer import log_normalizer

EMBED = "embed_tokens"
_ROWS, _TEXTS = ("rows", "sequence"), ("texts", "encoder_sequence")


def build_graphs(architecture: Architecture) -> dict[str, onnx_ir.Model]:
    """All graphs of a model, by name."""
    if architecture.encoder is None:
        return {CROSS_DECODER if architecture.looks else DECODER: decoder_graph(architecture)}
    return {ENCODER: encoder_graph(architecture), CROSS_DECODER: decoder_graph(architecture)}


def decoder_graph(architecture: Architecture, *, takes_embeds: bool = False) -> onnx_ir.Model:
    """The decoder, with what it sees of an encoder's text if there is an encoder.

    Args:
        takes_embeds: it takes `inputs_embeds` float32 (rows, sequence, width) in the place of `input_ids`: what
            `embed_graph` returns, or, for some tokens, vectors of a picture or a sound.
    """
    stack, encodes = architecture.decoder, architecture.looks
    graph, embedding, part = new_graph(CROSS_DECODER if encodes else DECODER), stack.embedding, "decoder." * encodes
    prefix = f"{stack.name}." if stack.name else ""
    if takes_embeds:
        x = graph_input(graph, "inputs_embeds", [*_ROWS, width_of(embedding)])
    else:
        x = graph_input(graph, "input_ids", _ROWS, INT64)
    places = None if embedding.positions is None else graph_input(graph, "position_ids", _ROWS, INT64)
    mask = graph_input(graph, TEXT_MASK, _TEXTS, INT64) if encodes else None
    seqlens_k = graph_input(graph, "seqlens_k", ["rows"], INT32)
    lengths = Lengths(seqlens_k, graph_input(graph, "total_sequence_length", [], INT32))
    places_read = graph_input(graph, "logits_to_keep", ["kept"], INT64)
    caches = [
        cache_input(graph, number, attention, part) for number, attention in enumerate(stack.attentions("causal"))
    ]
    encoded = None if mask is None else encoded_input(graph, stack.attentions("cross"), mask, x)
    table = None if takes_embeds else weight(graph, f"{prefix}embedding", embedding.table)
    positions = decoder_positions(graph, stack, x, lengths)
    if table is not None:
        x = embed(graph, prefix, embedding, table, x)

    queries: list[onnx_ir.Value] = []

    def attend(name: str, number: int, attention: Attention, read: onnx_ir.Value) -> onnx_ir.Value:
        if attention.kind == "cross" and encoded is not None:
            heads = [head for layer, head in architecture.aligning if layer == number]
            queries.extend([aligning_queries(graph, name, attention, read, heads)] if heads else [])
            return cross_attention(graph, name, attention, read, number, encoded)
        return causal_attention(graph, name, attention, read, caches[number], lengths, positions)

    x = run_layers(graph, stack, place(graph, prefix, embedding, x, places), attend)
    logits = _scores(graph, pick(graph, "kept_rows", x, places_read), architecture.head, table)
    graph_output(graph, logits, "logits", ["rows", "kept", int(architecture.head.weight.shape[0])])
    # Logits come first, by custom.
    graph.outputs.insert(0, graph.outputs.pop())
    if queries:
        width = sum(int(axes_of(part)[-1] or 0) for part in queries)
        joined = emit(graph, ALIGNING_QUERIES, "Concat", queries, {"axis": -1}, axes=[*_ROWS, width])
        graph_output(graph, joined, ALIGNING_QUERIES, [*_ROWS, width])
    model = finished(graph)
    if encodes:
        # A bias may forbid a token with a number so large that nothing could be told from its score.
        bias = architecture.head.bias
        log_normalizer(model, 0 if bias is None else int(bias.argmax()))
    return model


def encoder_graph(architecture: Architecture) -> onnx_ir.Model:
    """The encoder: a text or a sound -> the keys and values that each layer of the decoder sees of it.

    input_ids, attention_mask: int64 (texts, encoder_sequence). A padded token (mask 0) is seen by no other. Sounds are
    all of one length, and have no mask.
    """
    graph, stack = new_graph(ENCODER), architecture.encoder
    assert stack is not None
    if isinstance(stack, SoundStack):
        x = run_layers(graph, stack, sound_stream(graph, stack), _hear(graph))
        return _returning_pairs(graph, architecture, x)
    ids = graph_input(graph, "input_ids", _TEXTS, INT64)
    given_mask = graph_input(graph, "attention_mask", _TEXTS, INT64)
    mask = emit(graph, "mask", "Cast", [given_mask], {"to": int(INT32)}, axes=_TEXTS, dtype=INT32)
    positions, places = encoder_positions(graph, stack, ids)
    prefix = f"{stack.name}."
    table = weight(graph, f"{prefix}embedding", stack.embedding.table)
    stream = place(graph, prefix, stack.embedding, embed(graph, prefix, stack.embedding, table, ids), places)

    def attend(name: str, number: int, attention: Attention, read: onnx_ir.Value) -> onnx_ir.Value:
        return text_attention(graph, name, attention, read, mask, positions)

    return _returning_pairs(graph, architecture, run_layers(graph, stack, stream, attend))


def _hear(graph: onnx_ir.Graph) -> Attend:
    def attend(name: str, number: int, attention: Attention, read: onnx_ir.Value) -> onnx_ir.Value:
        return text_attention(graph, name, attention, read, None, Positions())

    return attend


def _returning_pairs(graph: onnx_ir.Graph, architecture: Architecture, x: onnx_ir.Value) -> onnx_ir.Model:
    """What each layer of the decoder keeps of the encoder's states."""
    for number, attention in enumerate(architecture.decoder.attentions("cross")):
        encoded_output(graph, number, attention, x)
    return finished(graph)


def embed_graph(architecture: Architecture) -> onnx_ir.Model:
    """The decoder's embedding: `input_ids` int64 (rows, sequence) -> `inputs_embeds`, as `decoder_graph` takes them."""
    graph, embedding = new_graph(EMBED), architecture.decoder.embedding
    ids = graph_input(graph, "input_ids", _ROWS, INT64)
    x = embed(graph, "", embedding, weight(graph, "embedding", embedding.table), ids)
    graph_output(graph, x, "inputs_embeds", [*_ROWS, width_of(embedding)])
    return finished(graph)


def _scores(graph: onnx_ir.Graph, x: onnx_ir.Value, head: LanguageHead, table: onnx_ir.Value | None) -> onnx_ir.Value:
    """Of the tokens in `x`; a tied head reads the words' `table`, where the graph has it."""
    if head.projection is not None:
        x = linear(graph, "project_out", x, head.projection)
    x = linear(graph, "head", x, Linear(head.weight, head.bias), table=table if head.tied else None)
    if head.factor != 1.0:
        x = multiply(graph, "head.multiplied", x, head.factor)
    if head.softcap is not None:
        x = multiply(graph, "head.divided", x, 1.0 / head.softcap)
        x = activate(graph, "head.bounded", x, "tanh")
        x = multiply(graph, "head.capped", x, head.softcap)
    return x
