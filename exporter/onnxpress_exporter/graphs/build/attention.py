"""Attention as ONNX Runtime's fused nodes. Knows no architecture.

Values and names as in `blocks.py`; "past" and "present" are one buffer, which the caller binds twice.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir

from onnxpress_exporter.graphs.build.blocks import Axes, axes_of, emit_several, graph_input, graph_output
from onnxpress_exporter.passes.graph import MICROSOFT

#: GroupQueryAttention takes heads of multiples of this size.
HEAD_SIZES = 8
#: Added to the score of a key that may not be seen.
HIDDEN = -1e9


@dataclass(frozen=True, slots=True)
class Rotary:
    """Tables float32 (positions, rotated size / 2); `interleaved` where neighbours and not halves are turned."""

    cos: onnx_ir.Value
    sin: onnx_ir.Value
    interleaved: bool = False


@dataclass(frozen=True, slots=True)
class Cache:
    """Keys and values float32 (rows, heads, capacity, size) of one layer, and the names of what comes back."""

    key: onnx_ir.Value
    value: onnx_ir.Value
    present: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Lengths:
    """`seqlens_k` int32 (rows): tokens of each row less one; `total` int32 (): of the longest row."""

    seqlens_k: onnx_ir.Value
    total: onnx_ir.Value


def cache_input(graph: onnx_ir.Graph, layer: int, heads: int, size: int, part: str = "") -> Cache:
    """The inputs of one layer's past; `part` is "decoder." or "encoder." where there are two."""
    axes: Axes = ["rows", heads, "capacity", size]
    names = [f"{layer}.{part}{one}" for one in ("key", "value")]
    key, value = (graph_input(graph, f"past_key_values.{name}", axes) for name in names)
    return Cache(key, value, (f"present.{names[0]}", f"present.{names[1]}"))


def grouped_attention(
    graph: onnx_ir.Graph,
    name: str,
    qkv: onnx_ir.Value | tuple[onnx_ir.Value, onnx_ir.Value, onnx_ir.Value],
    cache: Cache,
    lengths: Lengths,
    *,
    heads: int,
    kv_heads: int,
    scale: float,
    rotary: Rotary | None = None,
    window: int | None = None,
    softcap: float | None = None,
    bias: onnx_ir.Value | None = None,
) -> onnx_ir.Value:
    """Causal self-attention over a shared cache, GroupQueryAttention: (rows, sequence, heads * size).

    The present becomes the graph's next two outputs.

    Args:
        qkv: (rows, sequence, (heads + 2 * kv_heads) * size), queries first; or the three apart.
        window: a token sees itself and the window - 1 before it.
        softcap: scores become softcap * tanh(score / softcap).
        bias: float32 (1 or rows, 1 or heads, sequence, total), added to the scores; its last axis is absolute.
    """
    query, key, value = qkv if isinstance(qkv, tuple) else (qkv, None, None)
    inputs = [query, key, value, cache.key, cache.value, lengths.seqlens_k, lengths.total]
    inputs += [None, None] if rotary is None else [rotary.cos, rotary.sin]
    inputs += [None, bias]
    attributes = {
        "num_heads": heads,
        "kv_num_heads": kv_heads,
        "scale": scale,
        "do_rotary": int(rotary is not None),
        "rotary_interleaved": int(rotary is not None and rotary.interleaved),
        "local_window_size": -1 if window is None else window,
    }
    if softcap is not None:
        attributes["softcap"] = softcap
    size = cache.key.shape[3] if cache.key.shape is not None else None
    y, present_key, present_value = emit_several(
        graph,
        [name, *cache.present],
        "GroupQueryAttention",
        inputs,
        attributes,
        domain=MICROSOFT,
        axes=["rows", "sequence", heads * size if isinstance(size, int) else None],
    )
    axes: Axes = ["rows", kv_heads, "capacity", size if isinstance(size, int) else None]
    graph_output(graph, present_key, cache.present[0], axes)
    graph_output(graph, present_value, cache.present[1], axes)
    return y


def multi_head_attention(
    graph: onnx_ir.Graph,
    name: str,
    query: onnx_ir.Value,
    key: onnx_ir.Value,
    value: onnx_ir.Value,
    *,
    heads: int,
    scale: float,
    mask: onnx_ir.Value | None = None,
    bias: onnx_ir.Value | None = None,
    projections: onnx_ir.Value | None = None,
) -> onnx_ir.Value:
    """Attention of every query to every key, MultiHeadAttention: shape of `query`, (rows, sequence, heads * size).

    Args:
        key, value: like `query`, of another length; or both (rows, heads, length, size), as a cache holds them.
        mask: int32 (rows, length), 1 where a key may be seen.
        bias: float32 (1 or rows, 1 or heads, sequence, length), added to the scores.
        projections: float32 (3 * heads * size), the biases of the queries', keys' and values' projections, which the
            kernel adds; of keys and values that are in heads already it leaves theirs out.
    """
    return emit_several(
        graph,
        [name],
        "MultiHeadAttention",
        [query, key, value, projections, mask, bias],
        {"num_heads": heads, "scale": scale, "mask_filter_value": HIDDEN},
        domain=MICROSOFT,
        axes=axes_of(query.shape),
    )[0]
