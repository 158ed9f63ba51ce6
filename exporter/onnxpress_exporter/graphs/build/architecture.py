"""A decoder as data: what each layer computes and with which weights. Knows no family, no config and no graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from onnxpress_exporter.graphs.build.blocks import Linear, Norm


# Layers share one object: compared by identity.
@dataclass(frozen=True, slots=True, eq=False)
class Rope:
    """Positions by rotation: the angle of pair p at position t is t * frequencies[p].

    name: of its tables in the graph.
    frequencies: float32 (rotated size / 2); the rest of a head is not rotated.
    factor: sines and cosines are multiplied by it (YaRN).
    interleaved: pairs are neighbours (GPT-J), not an element of the first and one of the second half.
    """

    name: str
    frequencies: torch.Tensor
    factor: float = 1.0
    interleaved: bool = False


@dataclass(frozen=True, slots=True)
class Attention:
    """Causal self-attention with a cache.

    projections: their outputs side by side are queries, keys and values: three, or one that is packed.
    scale: of the scores; softcap: scores become softcap * tanh(score / softcap).
    window: a token sees itself and window - 1 before it.
    clip: bound of the projections' outputs.
    head_norms: of each head's queries and keys, RMS; whole_norms: of all heads' queries, and keys, together.
    """

    projections: Sequence[Linear]
    output: Linear
    heads: int
    kv_heads: int
    size: int
    scale: float
    rope: Rope | None = None
    window: int | None = None
    softcap: float | None = None
    clip: float | None = None
    head_norms: tuple[Norm, Norm] | None = None
    whole_norms: tuple[Norm, Norm] | None = None


@dataclass(frozen=True, slots=True)
class FeedForward:
    """down(activation(up(x))); if gated, `up`'s outputs are two halves: down(activation(first) * second)."""

    up: Sequence[Linear]
    down: Linear
    activation: str
    gated: bool


@dataclass(frozen=True, slots=True)
class Layer:
    """Two branches, each added to what it read.

    before_...: of what a branch reads. after_...: of what it returns, before it is added.
    joined_...: of the sum, which the stream becomes (OPT-350m).
    parallel: the feed-forward reads the layer's input, not the sum; without a norm of its own what attention reads.
    multiplier: of what a branch returns.
    """

    attention: Attention
    feed_forward: FeedForward
    before_attention: Norm | None = None
    after_attention: Norm | None = None
    joined_attention: Norm | None = None
    before_feed_forward: Norm | None = None
    after_feed_forward: Norm | None = None
    joined_feed_forward: Norm | None = None
    parallel: bool = False
    multiplier: float = 1.0


@dataclass(frozen=True, slots=True)
class Decoder:
    """A language model.

    table: the words' vectors (vocabulary, width), multiplied, normalized and projected in this order where asked.
    positions: learned ones (positions, width), the first row that of position 0.
    slopes: ALiBi's, float32 (heads): a score gets slope * position of the key.
    head: None where the words' table is it. logits_factor: of the logits; softcap: as in Attention.
    limit: how many tokens a row can have, where positions end.
    """

    table: torch.Tensor
    layers: Sequence[Layer]
    norm: Norm | None
    head: Linear | None
    limit: int | None
    table_multiplier: float = 1.0
    table_norm: Norm | None = None
    project_in: Linear | None = None
    project_out: Linear | None = None
    positions: torch.Tensor | None = None
    slopes: torch.Tensor | None = None
    logits_factor: float = 1.0
    logits_softcap: float | None = None
