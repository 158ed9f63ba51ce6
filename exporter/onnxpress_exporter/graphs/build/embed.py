"""The embedding: what a token's id alone decides, and where tokens stand."""

from __future__ import annotations

import onnx_ir

from onnxpress_exporter.graphs.build.architecture import Embedding
from onnxpress_exporter.graphs.build.linear import linear
from onnxpress_exporter.graphs.build.nodes import look_up, multiply, normalize, weight
from onnxpress_exporter.graphs.build.stack import Stream, read


def embed(
    graph: onnx_ir.Graph, prefix: str, embedding: Embedding, table: onnx_ir.Value, ids: onnx_ir.Value
) -> onnx_ir.Value:
    """The words' vectors (rows, sequence, width), before positions are added; `table` is theirs in the graph."""
    x = look_up(graph, f"{prefix}embedded", table, ids)
    if embedding.multiplier != 1.0:
        x = multiply(graph, f"{prefix}embedded.multiplied", x, embedding.multiplier)
    if embedding.norm is not None and embedding.norm_first:
        x = normalize(graph, f"{prefix}embedded.norm", x, embedding.norm)
    if embedding.projection is not None:
        x = linear(graph, f"{prefix}project_in", x, embedding.projection)
    return x


def place(
    graph: onnx_ir.Graph, prefix: str, embedding: Embedding, x: onnx_ir.Value, positions: onnx_ir.Value | None
) -> Stream:
    """The stream at its beginning, from the words' vectors; `positions` int64 (..., sequence), where they have any."""
    stream = Stream(x)
    if embedding.positions is not None and positions is not None:
        rows = weight(graph, f"{prefix}positions", embedding.positions)
        stream = Stream(x, (look_up(graph, f"{prefix}embedded.positions", rows, positions),))
    if embedding.norm is None or embedding.norm_first:
        return stream
    return Stream(read(graph, f"{prefix}embedded.norm", stream, embedding.norm)[0])


def width_of(embedding: Embedding) -> int:
    """Of the vectors that `embed` returns."""
    return int(embedding.table.shape[1] if embedding.projection is None else embedding.projection.weight.shape[0])
