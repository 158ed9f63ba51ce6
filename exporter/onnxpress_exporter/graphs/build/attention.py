"""Attention as ONNX Runtime's fused nodes: causal with a cache, of a whole text, and of the encoder's.

"past" and "present" of a cache are one buffer, which the caller binds twice. All give (rows, sequence, heads * size).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir

from onnxpress_exporter.graphs.build.architecture import Attention, Linear, Norm
from onnxpress_exporter.graphs.build.linear import bias, linear, product
from onnxpress_exporter.graphs.build.nodes import (
    INT32,
    INT64,
    Axes,
    axes_of,
    constant,
    emit,
    emit_several,
    graph_input,
    graph_output,
    normalize,
)
from onnxpress_exporter.graphs.build.positions import Lengths, Positions, bias_of, inside_kernel, rotate, size_of
from onnxpress_exporter.graphs.names import past_names, present_names
from onnxpress_exporter.passes.graph import MICROSOFT

#: GroupQueryAttention takes heads of multiples of this size.
HEAD_SIZES = 8
#: Added to the score of a key that may not be seen.
HIDDEN = -1e9


@dataclass(frozen=True, slots=True)
class Cache:
    """Keys and values float32 (rows, heads, capacity, size) of one layer, and the names of what comes back."""

    key: onnx_ir.Value
    value: onnx_ir.Value
    present: tuple[str, str]


def cache_input(graph: onnx_ir.Graph, number: int, attention: Attention, part: str) -> Cache:
    """The inputs of one layer's past; `part` is "decoder." where there is an encoder."""
    axes: Axes = ["rows", attention.kv_heads, "capacity", attention.size]
    key, value = (graph_input(graph, name, axes) for name in past_names(number, part))
    return Cache(key, value, present_names(number, part))


def causal_attention(
    graph: onnx_ir.Graph,
    name: str,
    attention: Attention,
    x: onnx_ir.Value,
    cache: Cache,
    lengths: Lengths,
    positions: Positions,
) -> onnx_ir.Value:
    """Self-attention over a shared cache; the present becomes the graph's next two outputs."""
    qkv = linear(graph, f"{name}.qkv", x, *attention.projections)
    if attention.clip is not None:
        bounds = [constant(graph, f"number_{bound!r}", bound) for bound in (-attention.clip, attention.clip)]
        qkv = emit(graph, f"{name}.clipped", "Clip", [qkv, *bounds])
    rope = attention.rope
    parts: tuple[onnx_ir.Value | None, ...] = (qkv, None, None)
    if (rope and not inside_kernel(rope)) or attention.whole_norms or attention.head_norms:
        parts = _apart(graph, name, qkv, attention, positions)
    inside = positions.rotary[rope] if rope is not None and inside_kernel(rope) else None
    added = bias_of(graph, name.rpartition(".")[0], attention, positions)
    inputs = [*parts, cache.key, cache.value, lengths.seqlens_k, lengths.total]
    inputs += [None, None] if inside is None else [inside.cos, inside.sin]
    attributes = {
        "num_heads": attention.heads,
        "kv_num_heads": attention.kv_heads,
        "scale": attention.scale,
        "do_rotary": int(inside is not None),
        "rotary_interleaved": int(inside is not None and rope is not None and rope.interleaved),
        "local_window_size": -1 if attention.window is None else attention.window,
    }
    if attention.softcap is not None:
        attributes["softcap"] = attention.softcap
    y, *present = emit_several(
        graph,
        [name, *cache.present],
        "GroupQueryAttention",
        [*inputs, None, added],
        attributes,
        domain=MICROSOFT,
        axes=[*axes_of(x)[:-1], attention.heads * attention.size],
    )
    for value, result in zip(present, cache.present, strict=True):
        graph_output(graph, value, result, axes_of(cache.key))
    return y


def _apart(
    graph: onnx_ir.Graph, name: str, qkv: onnx_ir.Value, attention: Attention, positions: Positions
) -> tuple[onnx_ir.Value, ...]:
    """Queries, keys and values, with what GroupQueryAttention does not do on a CPU: norms, and some rotations."""
    heads = attention.heads, attention.kv_heads, attention.kv_heads
    widths = [count * attention.size for count in heads]
    sizes = constant(graph, f"sizes_{widths[0]}_{widths[1]}", widths)
    names = [f"{name}.{part}" for part in ("query", "key", "value")]
    parts = list(emit_several(graph, names, "Split", [qkv, sizes], {"axis": -1}))
    for part, width in zip(parts, widths, strict=True):
        part.shape = onnx_ir.Shape(["rows", "sequence", width])
    for index in (0, 1):
        if attention.whole_norms is not None:
            parts[index] = normalize(graph, f"{names[index]}_norm", parts[index], attention.whole_norms[index])
        if attention.head_norms is not None:
            parts[index] = _norm_of_heads(graph, names[index], parts[index], attention.head_norms[index], heads[index])
        if attention.rope is not None and not inside_kernel(attention.rope):
            parts[index] = rotate(
                graph, f"{names[index]}_rotated", parts[index], attention.rope, positions, heads[index]
            )
    return tuple(parts)


def _norm_of_heads(graph: onnx_ir.Graph, name: str, x: onnx_ir.Value, norm: Norm, heads: int) -> onnx_ir.Value:
    size, leading = int(norm.weight.shape[0]), axes_of(x)[:-1]
    apart, whole = constant(graph, f"shape_{size}", [0, 0, -1, size]), constant(graph, "shape", [0, 0, -1])
    y = emit(graph, f"{name}_heads", "Reshape", [x, apart], axes=[*leading, heads, size])
    y = normalize(graph, f"{name}_norm", y, norm)
    return emit(graph, f"{name}_whole", "Reshape", [y, whole], axes=[*leading, heads * size])


def text_attention(
    graph: onnx_ir.Graph,
    name: str,
    attention: Attention,
    x: onnx_ir.Value,
    mask: onnx_ir.Value | None,
    positions: Positions,
) -> onnx_ir.Value:
    """Every token of a text to all that `mask` int32 (texts, length) keeps, or to all; the kernel adds projections'
    biases."""
    added = bias_of(graph, name.rpartition(".")[0], attention, positions)
    parts = zip(("query", "key", "value"), attention.projections, strict=True)
    qkv = [product(graph, f"{name}.{part}", x, projection) for part, projection in parts]
    biases = bias(graph, f"{name}.biases", *attention.projections)
    return _multi_head(graph, name, attention, [*qkv, biases, mask, added], axes_of(qkv[0]))


@dataclass(frozen=True, slots=True)
class Encoded:
    """What an encoder returned of texts, and the shapes that group rows by texts and back.

    pairs: keys and values of each layer, float32 (texts, heads, encoder_sequence, size).
    mask: int32 (texts, encoder_sequence).
    """

    pairs: Sequence[Sequence[onnx_ir.Value]]
    mask: onnx_ir.Value
    by_text: onnx_ir.Value
    by_row: onnx_ir.Value


def encoded_input(graph: onnx_ir.Graph, layers: Sequence[Attention], mask: onnx_ir.Value, x: onnx_ir.Value) -> Encoded:
    """The decoder's inputs that `encoded_output` returned, which are all of one width; `x` (rows, sequence, ...)."""
    pairs = []
    for number, attention in enumerate(layers):
        axes = [axes_of(mask)[0], attention.heads, axes_of(mask)[1], attention.size]
        pairs.append([graph_input(graph, name, axes) for name in past_names(number, "encoder.")])
    width = layers[0].heads * layers[0].size
    by_text = [size_of(graph, "texts", mask, 0), constant(graph, "queries", [-1, width])]
    by_row = [constant(graph, "any_rows", [-1]), size_of(graph, "tokens", x, 1), constant(graph, "width", [width])]
    return Encoded(
        pairs,
        emit(graph, "mask", "Cast", [mask], {"to": int(INT32)}, axes=axes_of(mask), dtype=INT32),
        emit(graph, "by_text", "Concat", by_text, {"axis": 0}, axes=[3], dtype=INT64),
        emit(graph, "by_row", "Concat", by_row, {"axis": 0}, axes=[3], dtype=INT64),
    )


def encoded_output(graph: onnx_ir.Graph, number: int, attention: Attention, x: onnx_ir.Value) -> None:
    """Keys and values of the encoder's `x` for a layer of the decoder, in heads, as the graph's next two outputs."""
    texts, length, _ = axes_of(x)
    for part, projection, result in zip(
        ("key", "value"), attention.projections[1:], present_names(number, "encoder."), strict=True
    ):
        name = f"decoder.{number}.encoder.{part}"
        y = linear(graph, name, x, projection)
        shape = constant(graph, f"heads_{attention.heads}", [0, 0, attention.heads, attention.size])
        y = emit(graph, f"{name}.split", "Reshape", [y, shape], axes=[texts, length, attention.heads, attention.size])
        y = emit(graph, result, "Transpose", [y], {"perm": [0, 2, 1, 3]})
        graph_output(graph, y, result, [texts, attention.heads, length, attention.size])


def cross_attention(
    graph: onnx_ir.Graph, name: str, attention: Attention, x: onnx_ir.Value, number: int, encoded: Encoded
) -> onnx_ir.Value:
    """What all rows of a text, which stand side by side, see of it: its keys are read once."""
    query, *_ = attention.projections
    width = attention.heads * attention.size
    q = product(graph, f"{name}.query", x, query)
    q = emit(graph, f"{name}.queries", "Reshape", [q, encoded.by_text], axes=[axes_of(encoded.mask)[0], None, width])
    # The kernel adds the queries' part of it alone, keys and values being given in heads.
    nothing = Linear(query.weight.new_zeros(2 * width, 1))
    biases = None if query.bias is None else bias(graph, f"{name}.biases", query, nothing)
    inputs = [q, *encoded.pairs[number], biases, encoded.mask]
    y = _multi_head(graph, f"{name}.seen", attention, inputs, axes_of(q))
    return emit(graph, name, "Reshape", [y, encoded.by_row], axes=[*axes_of(x)[:-1], width])


def aligning_queries(
    graph: onnx_ir.Graph, name: str, attention: Attention, x: onnx_ir.Value, heads: Sequence[int]
) -> onnx_ir.Value:
    """float32 (rows, sequence, heads * size): what these heads look for in a sound, scaled as their scores are.

    A product of its own, of a few columns: the layer's is for the attention's kernel, which adds the bias itself.
    """
    size, query = attention.size, attention.projections[0]
    columns = [column for head in heads for column in range(head * size, (head + 1) * size)]
    part = Linear(
        query.weight[columns] * attention.scale,
        None if query.bias is None else query.bias[columns] * attention.scale,
    )
    return linear(graph, f"{name}.aligning", x, part)


def _multi_head(
    graph: onnx_ir.Graph, name: str, attention: Attention, inputs: list[onnx_ir.Value | None], axes: Axes
) -> onnx_ir.Value:
    """`inputs`: queries, keys, values, the projections' biases, the mask of keys, what is added to scores."""
    attributes = {"num_heads": attention.heads, "scale": attention.scale, "mask_filter_value": HIDDEN}
    return emit(graph, name, "MultiHeadAttention", inputs, attributes, domain=MICROSOFT, axes=axes)
