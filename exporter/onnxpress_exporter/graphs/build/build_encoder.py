"""An encoder-decoder's encoder as a graph, from its weights.

    input_ids, attention_mask: int64 (texts, encoder_sequence)
    -> present.N.encoder.key, .value: float32 (texts, heads, encoder_sequence, size) for layer N of the decoder

What the decoder's layers need of a text is computed here, once. A padded token (mask 0) is seen by no other.
"""

from __future__ import annotations

import onnx_ir

from onnxpress_exporter.graphs.build.attention import multi_head_attention
from onnxpress_exporter.graphs.build.blocks import (
    INT32,
    INT64,
    Linear,
    constant,
    emit,
    finished,
    graph_input,
    graph_output,
    linear,
    new_graph,
    weight,
)
from onnxpress_exporter.graphs.build.encoder_decoder import Attention, DistanceBias, EncoderDecoder, EncoderLayer
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
    squeezed,
)

TOKENS = ("texts", "encoder_sequence")


def encoder_graph(model: EncoderDecoder) -> onnx_ir.Model:
    """The graph `encoder_model`."""
    graph = new_graph("encoder_model")
    ids = graph_input(graph, "input_ids", TOKENS, INT64)
    given_mask = graph_input(graph, "attention_mask", TOKENS, INT64)
    mask = emit(graph, "mask", "Cast", [given_mask], {"to": int(INT32)}, axes=TOKENS, dtype=INT32)
    encoder = model.encoder
    biases = [layer.bias for layer in encoder.layers]
    positions = None
    if encoder.embedding.positions is not None or any(biases):
        length = squeezed(graph, "length", size_of(graph, "lengths", ids, 1))
        positions = positions_up_to(graph, "position_ids", length, TOKENS[1])
    columns = None if positions is None else _columns(graph, positions, biases)
    known: dict[int, onnx_ir.Value] = {}
    x, _ = embed(graph, "encoder", ids, encoder.embedding, positions)
    branches = []
    for index, layer in enumerate(encoder.layers):
        branches += _layer(graph, f"encoder.{index}", layer, mask, columns, known)
    x = run_branches(graph, "encoder", x, branches, encoder.final_norm)
    for index, one in enumerate(model.decoder.layers):
        for part, projection in (("key", one.cross.key), ("value", one.cross.value)):
            _give(graph, f"{index}.encoder.{part}", x, projection, one.cross)
    return finished(graph)


def _layer(
    graph: onnx_ir.Graph,
    name: str,
    layer: EncoderLayer,
    mask: onnx_ir.Value,
    columns: onnx_ir.Value | None,
    known: dict[int, onnx_ir.Value],
) -> list[Branch]:
    attention = layer.attention

    def attend(x: onnx_ir.Value) -> onnx_ir.Value:
        bias = None
        if layer.bias is not None and columns is not None:
            bias = distance_bias(graph, name, layer.bias, columns, known)
        return self_attention(graph, f"{name}.attention", x, attention, mask, bias)

    def think(x: onnx_ir.Value) -> onnx_ir.Value:
        return feed_forward(graph, f"{name}.feed_forward", x, layer.feed_forward)

    return [
        Branch(f"{name}.attention", layer.attention_norm, attend, attention.output),
        Branch(f"{name}.feed_forward", layer.feed_forward_norm, think, layer.feed_forward.down),
    ]


def self_attention(
    graph: onnx_ir.Graph,
    name: str,
    x: onnx_ir.Value,
    attention: Attention,
    mask: onnx_ir.Value,
    bias: onnx_ir.Value | None,
) -> onnx_ir.Value:
    """Every token of a text to all that `mask` int32 (texts, length) keeps; the kernel adds projections' biases."""
    parts = (("query", attention.query), ("key", attention.key), ("value", attention.value))
    q, k, v = (linear(graph, f"{name}.{part}", x, Linear(one.weight)) for part, one in parts)
    given = [one.weight.new_zeros(attention.width) if one.bias is None else one.bias for _, one in parts]
    projections = None
    if any(one.bias is not None for _, one in parts):
        projections = weight(graph, f"{name}.biases", *given)
    return multi_head_attention(
        graph,
        name,
        q,
        k,
        v,
        heads=attention.heads,
        scale=attention.scale,
        mask=mask,
        bias=bias,
        projections=projections,
    )


def _columns(graph: onnx_ir.Graph, positions: onnx_ir.Value, biases: list[DistanceBias | None]) -> onnx_ir.Value | None:
    """int64 (queries, keys): the column for key less query, whose middle is distance 0; the spans are all the same."""
    spans = {int(one.table.shape[1]) // 2 for one in biases if one is not None}
    if not spans:
        return None
    (span,) = spans
    square = [TOKENS[1], TOKENS[1]]
    queries = as_column(graph, "distance.queries", positions)
    shifted = emit(
        graph, "distance.keys", "Add", [positions, constant(graph, "span", span)], axes=[TOKENS[1]], dtype=INT64
    )
    distances = emit(graph, "distance", "Sub", [shifted, queries], axes=square, dtype=INT64)
    return clipped(graph, "distance.clipped", distances, 0, 2 * span)


def _give(graph: onnx_ir.Graph, name: str, x: onnx_ir.Value, projection: Linear, attention: Attention) -> None:
    """Keys or values of a layer of the decoder, split into heads, as the graph's next output."""
    y = linear(graph, f"decoder.{name}", x, projection)
    shape = constant(graph, f"heads_{attention.heads}", [0, 0, attention.heads, attention.size])
    texts, length = TOKENS
    y = emit(
        graph, f"decoder.{name}.split", "Reshape", [y, shape], axes=[texts, length, attention.heads, attention.size]
    )
    result = f"present.{name}"
    y = emit(graph, result, "Transpose", [y], {"perm": [0, 2, 1, 3]})
    graph_output(graph, y, result, [texts, attention.heads, length, attention.size])
