"""A model that writes, as data: what its layers compute and with which weights. Knows no family, config or graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch


@dataclass(frozen=True, slots=True)
class Linear:
    """y = x @ weight.T + bias; `weight` (outputs, inputs), a view where a checkpoint stores the transpose."""

    weight: torch.Tensor
    bias: torch.Tensor | None = None


@dataclass(frozen=True, slots=True)
class Norm:
    """A normalization of the last axis.

    kind: "rms" divides by the root of the mean square; "layer" subtracts the mean first and adds `bias` last.
    weight: (width), ready to multiply with: where a checkpoint stores it less one, the one is added.
    """

    kind: Literal["rms", "layer"]
    weight: torch.Tensor
    epsilon: float
    bias: torch.Tensor | None = None


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


# Layers share one object: compared by identity.
@dataclass(frozen=True, slots=True, eq=False)
class DistanceBias:
    """What is added to a score for the distance between its tokens.

    table: float32 (heads, distances). An encoder's goes from -span to span, key less query, and has 2 * span + 1
    columns; a decoder's from 0 to span, query less key. Tokens farther apart than span have the outermost column.
    """

    table: torch.Tensor


@dataclass(frozen=True, slots=True)
class Attention:
    """What tokens see of others; a score is scale * query . key.

    kind: "causal" sees the tokens before, with a cache; "bidirectional" all of a text; "cross" all of the encoder's.
    projections: their outputs side by side are queries, keys and values: three, or, if causal, one that is packed.

    Of causal attention alone:
    softcap: scores become softcap * tanh(score / softcap). clip: bound of the projections' outputs.
    window: a token sees itself and window - 1 before it.
    head_norms: of each head's queries and keys, RMS; whole_norms: of all heads' queries, and keys, together.
    """

    kind: Literal["causal", "bidirectional", "cross"]
    projections: Sequence[Linear]
    output: Linear
    heads: int
    kv_heads: int
    size: int
    scale: float
    rope: Rope | None = None
    distances: DistanceBias | None = None
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
class Branch:
    """What is added to the residual stream: part(x), of what it reads there.

    before: normalizes what it reads. after: what it returns, before it is added. joined: the sum, which the stream
    becomes (BART, OPT-350m). multiplier: of what it returns.
    """

    part: Attention | FeedForward
    before: Norm | None = None
    after: Norm | None = None
    joined: Norm | None = None
    multiplier: float = 1.0


@dataclass(frozen=True, slots=True)
class Layer:
    """Branches, each of which reads the stream with the earlier ones added.

    parallel: all read what the first one does, but for a `before` of their own.
    """

    branches: Sequence[Branch]
    parallel: bool = False


@dataclass(frozen=True, slots=True)
class Embedding:
    """norm(projection(table[id] * multiplier) + positions[position]).

    table: (vocabulary, width). positions: learned or computed, (positions, width) from position 0 on.
    norm_first: the norm is that of the words alone, before they are projected.
    """

    table: torch.Tensor
    multiplier: float = 1.0
    projection: Linear | None = None
    positions: torch.Tensor | None = None
    norm: Norm | None = None
    norm_first: bool = False


@dataclass(frozen=True, slots=True)
class Stack:
    """Layers between an embedding and a norm.

    name: what the values of its graph begin with, "" for the only stack of a model.
    slopes: ALiBi's, float32 (heads): a score gets slope * position of the key.
    limit: how many tokens a row can have, where positions end.
    """

    name: str
    embedding: Embedding
    layers: Sequence[Layer]
    norm: Norm | None
    limit: int | None = None
    slopes: torch.Tensor | None = None

    def attentions(self, *kinds: str) -> list[Attention]:
        """The attention of these kinds, layer by layer."""
        parts = [branch.part for layer in self.layers for branch in layer.branches]
        return [part for part in parts if isinstance(part, Attention) and part.kind in kinds]


@dataclass(frozen=True, slots=True)
class Convolution:
    """Along an axis of time: `weight` (outputs, inputs, width), with as many zeros at both ends as keep the length, and
    every `stride`-th of the results."""

    weight: torch.Tensor
    bias: torch.Tensor | None
    stride: int


@dataclass(frozen=True, slots=True)
class SoundStack:
    """Layers that read a sound: between convolutions, each with an `activation` after it, and a norm.

    name: what the values of its graph begin with. takes: its input, float32 (texts, bands, frames).
    positions: (places, width), of each place that the convolutions leave of so many `frames`.
    """

    name: str
    takes: str
    frames: int
    convolutions: Sequence[Convolution]
    activation: str
    positions: torch.Tensor
    layers: Sequence[Layer]
    norm: Norm | None


@dataclass(frozen=True, slots=True)
class LanguageHead:
    """softcap(factor * (projection(x) @ weight.T + bias)), the scores of all tokens.

    weight: (vocabulary, width); `tied` where it is the words' table. softcap: as in `Attention`.
    """

    weight: torch.Tensor
    tied: bool
    bias: torch.Tensor | None = None
    projection: Linear | None = None
    factor: float = 1.0
    softcap: float | None = None


@dataclass(frozen=True, slots=True)
class Architecture:
    """A language model; with an encoder, whose text the decoder's layers look at. Where they look at something and
    there is no `encoder`, it is one that is traced, such as of pictures.

    aligning: (layer, head) of the decoder whose attention tells where in a sound each token was spoken.
    """

    decoder: Stack
    head: LanguageHead
    encoder: Stack | SoundStack | None = None
    aligning: Sequence[tuple[int, int]] = ()

    @property
    def looks(self) -> bool:
        """Whether the decoder's layers look at what an encoder has read."""
        return bool(self.decoder.attentions("cross"))
