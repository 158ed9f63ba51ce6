"""Layers around a residual stream, for encoders and decoders alike: embedding, branches, feed-forward, distance biases.

Knows no attention.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import onnx_ir

from onnxpress_exporter.graphs.build.blocks import (
    INT64,
    Linear,
    Norm,
    activate,
    add,
    constant,
    emit,
    halves,
    linear,
    look_up,
    multiply,
    normalize,
    weight,
)
from onnxpress_exporter.graphs.build.encoder_decoder import DistanceBias, Embedding, FeedForward
from onnxpress_exporter.passes.graph import axes


@dataclass(frozen=True, slots=True)
class Branch:
    """What is added to the residual stream: output(inside(x))."""

    name: str
    norm: Norm
    inside: Callable[[onnx_ir.Value], onnx_ir.Value]
    output: Linear


def run_branches(
    graph: onnx_ir.Graph, name: str, x: onnx_ir.Value, branches: Sequence[Branch], final_norm: Norm | None
) -> onnx_ir.Value:
    """`x` (rows, sequence, width) through all branches, normalized before each and at the end, or after each."""
    if final_norm is None:
        for one in branches:
            x, _ = _add_branch(graph, one, x, x, one.norm, f"{one.name}.norm")
        return x
    first, *others = branches
    read = normalize(graph, f"{first.name}.norm", x, first.norm)
    norms = [(f"{one.name}.norm", one.norm) for one in others]
    for one, (norm_name, norm) in zip(branches, [*norms, (f"{name}.norm", final_norm)], strict=True):
        read, x = _add_branch(graph, one, read, x, norm, norm_name)
    return read


def _add_branch(
    graph: onnx_ir.Graph, branch: Branch, read: onnx_ir.Value, x: onnx_ir.Value, norm: Norm, norm_name: str
) -> tuple[onnx_ir.Value, onnx_ir.Value]:
    """(norm(x + branch(read)), x + branch(read)).

    Sum adds the projection's bias as well, and is not fused with the norm: ONNX Runtime's kernels for that are scalar,
    and take two to four times as long.
    """
    output = branch.output
    y = linear(graph, f"{branch.name}.output", branch.inside(read), Linear(output.weight))
    terms = [x, y]
    if output.bias is not None:
        terms.append(weight(graph, f"{branch.name}.output.bias", output.bias))
    total = emit(graph, f"{branch.name}.sum", "Sum", terms, axes=axes(x))
    return normalize(graph, norm_name, total, norm), total


def embed(
    graph: onnx_ir.Graph, name: str, ids: onnx_ir.Value, embedding: Embedding, positions: onnx_ir.Value | None
) -> tuple[onnx_ir.Value, onnx_ir.Value]:
    """(the stream at its beginning (rows, sequence, width), the table of words); `positions` int64 (..., sequence)."""
    table = weight(graph, f"{name}.words", embedding.table)
    x = look_up(graph, f"{name}.embedding", table, ids)
    if embedding.scale != 1.0:
        x = multiply(graph, f"{name}.embedding.scaled", x, embedding.scale)
    if embedding.norm is not None and embedding.norm_first:
        x = normalize(graph, f"{name}.embedding.norm", x, embedding.norm)
    if embedding.positions is not None and positions is not None:
        rows = look_up(graph, f"{name}.position", weight(graph, f"{name}.positions", embedding.positions), positions)
        x = add(graph, f"{name}.embedding.placed", x, rows)
    if embedding.norm is not None and not embedding.norm_first:
        x = normalize(graph, f"{name}.embedding.norm", x, embedding.norm)
    return x, table


def feed_forward(graph: onnx_ir.Graph, name: str, x: onnx_ir.Value, layer: FeedForward) -> onnx_ir.Value:
    """What the layer's `down` projection reads."""
    if layer.gate is None:
        return activate(graph, f"{name}.activation", linear(graph, f"{name}.up", x, layer.up), layer.activation)
    gate, up = halves(graph, f"{name}.half", linear(graph, f"{name}.gate_up", x, layer.gate, layer.up))
    return multiply(graph, f"{name}.gated", activate(graph, f"{name}.activation", gate, layer.activation), up)


def distance_bias(
    graph: onnx_ir.Graph, name: str, bias: DistanceBias, columns: onnx_ir.Value, known: dict[int, onnx_ir.Value]
) -> onnx_ir.Value:
    """float32 (1, heads, queries, keys) from the table's columns, int64 (queries, keys); `known` by the bias's id."""
    if id(bias) not in known:
        heads = int(bias.table.shape[0])
        table = weight(graph, f"{name}.distances", bias.table[None])
        shape = [1, heads, *(axes(columns) or ())]
        known[id(bias)] = emit(graph, f"{name}.distance_bias", "Gather", [table, columns], {"axis": 2}, axes=shape)
    return known[id(bias)]


def clipped(graph: onnx_ir.Graph, name: str, x: onnx_ir.Value, lowest: int, highest: int) -> onnx_ir.Value:
    """int64 `x` moved into lowest .. highest."""
    ends = [constant(graph, f"{name}.{end}", number) for end, number in (("lowest", lowest), ("highest", highest))]
    return emit(graph, name, "Clip", [x, *ends], axes=axes(x), dtype=INT64)


def positions_up_to(graph: onnx_ir.Graph, name: str, length: onnx_ir.Value, axis: str) -> onnx_ir.Value:
    """int64 (length): 0, 1, 2, ...; `length` int64 ()."""
    ends = [constant(graph, "number_0", 0), length, constant(graph, "number_1", 1)]
    return emit(graph, name, "Range", ends, axes=[axis], dtype=INT64)


def size_of(graph: onnx_ir.Graph, name: str, x: onnx_ir.Value, axis: int) -> onnx_ir.Value:
    """int64 (1): the size of an axis of `x`."""
    return emit(graph, name, "Shape", [x], {"start": axis, "end": axis + 1}, axes=[1], dtype=INT64)


def squeezed(graph: onnx_ir.Graph, name: str, x: onnx_ir.Value) -> onnx_ir.Value:
    """int64 (1) -> int64 ()."""
    return emit(graph, name, "Squeeze", [x, constant(graph, "first_axis", [0])], axes=[], dtype=INT64)


def as_column(graph: onnx_ir.Graph, name: str, x: onnx_ir.Value) -> onnx_ir.Value:
    """int64 (n) -> int64 (n, 1)."""
    return emit(
        graph, name, "Unsqueeze", [x, constant(graph, "second_axis", [1])], axes=[*(axes(x) or ()), 1], dtype=INT64
    )
