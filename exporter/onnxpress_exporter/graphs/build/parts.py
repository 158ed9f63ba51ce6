"""What readers of several families share: the usual attention, feed-forwards and the frame around the layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from onnxpress_exporter.graphs.build.architecture import (
    Architecture,
    Attention,
    Branch,
    Embedding,
    FeedForward,
    LanguageHead,
    Layer,
    Linear,
    Norm,
    Rope,
    Stack,
)
from onnxpress_exporter.graphs.build.source import Source


def attention(
    source: Source, name: str, rope: Rope | None, window: int | None = None, *, output: str = "o_proj"
) -> Attention:
    """Separate projections, rotated or not, scaled by the root of the head size."""
    # Sizes as the weights have them: a config may carry fields that its model does not read.
    projections = [source.linear(f"{name}.{part}_proj") for part in "qkv"]
    heads = int(source.config.num_attention_heads)
    size = int(projections[0].weight.shape[0]) // heads
    kv_heads = int(projections[1].weight.shape[0]) // size
    return replace(causal(projections, source.linear(f"{name}.{output}"), heads, kv_heads, size, rope), window=window)


def causal(
    projections: Sequence[Linear], output: Linear, heads: int, kv_heads: int, size: int, rope: Rope | None = None
) -> Attention:
    """Self-attention with a cache, scaled by the root of the head size."""
    return Attention("causal", projections, output, heads, kv_heads, size, size**-0.5, rope)


def grouped(source: Source, name: str, kv_heads: int, rope: Rope | None) -> Attention:
    """Of a projection that packs, for each head of keys, its queries, key and value."""
    heads = source.config.num_attention_heads
    size, groups = source.config.hidden_size // heads, heads // kv_heads
    packed = source.linear(f"{name}.query_key_value")

    def part(tensor: torch.Tensor, which: slice) -> torch.Tensor:
        rest = tensor.shape[1:]
        return tensor.reshape(kv_heads, groups + 2, -1, *rest)[:, which].reshape(-1, *rest)

    projections = [
        Linear(part(packed.weight, which), None if packed.bias is None else part(packed.bias, which))
        for which in (slice(0, groups), slice(groups, groups + 1), slice(groups + 1, groups + 2))
    ]
    return causal(projections, source.linear(f"{name}.dense"), heads, kv_heads, size, rope)


def gated(source: Source, name: str, activation: str = "hidden_act") -> FeedForward:
    """down(activation(gate(x)) * up(x)); `activation` is the config's field."""
    up = [source.linear(f"{name}.gate_proj"), source.linear(f"{name}.up_proj")]
    return FeedForward(up, source.linear(f"{name}.down_proj"), source.activation(activation), gated=True)


def plain(
    source: Source, up: str, down: str, activation: str = "hidden_act", *, transposed: bool = False
) -> FeedForward:
    """down(activation(up(x)))."""
    first, last = (source.linear(name, transposed=transposed) for name in (up, down))
    return FeedForward([first], last, source.activation(activation), gated=False)


def layer_of(
    attends: Attention,
    feeds: FeedForward,
    before: Norm | None,
    before_feed_forward: Norm | None,
    *,
    parallel: bool = False,
) -> Layer:
    """Two branches, each with a norm before it; if they are parallel, the second may share the first one's."""
    return Layer([Branch(attends, before), Branch(feeds, before_feed_forward)], parallel)


def decoder(
    source: Source,
    embedding: Embedding,
    layers: str,
    layer: Callable[[str, int], Layer],
    norm: Norm | None,
    *,
    head: LanguageHead | None = None,
) -> Architecture:
    """A model without an encoder; `layer` makes one of its name, below `layers`, and its number."""
    stack = [layer(f"{layers}.{number}", number) for number in range(source.config.num_hidden_layers)]
    limit = getattr(source.config, "max_position_embeddings", None)
    return Architecture(Stack("", embedding, stack, norm, limit), head or source.head(embedding.table))
