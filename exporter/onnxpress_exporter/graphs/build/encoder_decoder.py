"""What an encoder-decoder's graphs are built from: its weights, and how they are put together.

Readers in `families/` make it from a checkpoint; `build_encoder.py` and `build_seq2seq_decoder.py` make graphs of it.
Knows neither checkpoints nor graphs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from onnxpress_exporter.graphs.build.blocks import Linear, Norm


@dataclass(frozen=True, slots=True)
class Attention:
    """Projections (heads * size outputs, and back); a score is scale * query . key."""

    query: Linear
    key: Linear
    value: Linear
    output: Linear
    heads: int
    scale: float

    @property
    def width(self) -> int:
        """heads * size."""
        return int(self.query.weight.shape[0])

    @property
    def size(self) -> int:
        """Channels of a head."""
        return self.width // self.heads


@dataclass(frozen=True, slots=True)
class DistanceBias:
    """What is added to a score for the distance between its tokens.

    table: float32 (heads, distances). An encoder's goes from -span to span, key less query, and has 2 * span + 1
    columns; a decoder's from 0 to span, query less key. Tokens farther apart than span have the outermost column.
    """

    table: torch.Tensor


@dataclass(frozen=True, slots=True)
class FeedForward:
    """down(activation(up(x))), or, with a gate, down(activation(gate(x)) * up(x))."""

    up: Linear
    down: Linear
    activation: str
    gate: Linear | None = None


@dataclass(frozen=True, slots=True)
class Embedding:
    """norm(table[id] * scale + positions[position]); with `norm_first`, norm(table[id] * scale) + positions[position].

    table: (vocabulary, width). positions: (longest, width) from position 0 on; None where the text has none.
    """

    table: torch.Tensor
    scale: float = 1.0
    positions: torch.Tensor | None = None
    norm: Norm | None = None
    norm_first: bool = False


@dataclass(frozen=True, slots=True)
class EncoderLayer:
    """Self-attention and feed-forward, each with the normalization before it, or after it: see `Encoder`."""

    attention: Attention
    attention_norm: Norm
    feed_forward: FeedForward
    feed_forward_norm: Norm
    bias: DistanceBias | None = None


@dataclass(frozen=True, slots=True)
class DecoderLayer:
    """Self-attention, attention to the encoder's result and feed-forward; normalizations as in `EncoderLayer`."""

    attention: Attention
    attention_norm: Norm
    cross: Attention
    cross_norm: Norm
    feed_forward: FeedForward
    feed_forward_norm: Norm
    bias: DistanceBias | None = None


@dataclass(frozen=True, slots=True)
class Encoder:
    """With a `final_norm`, layers normalize what they read: x + f(norm(x)); without, what they make: norm(x + f(x))."""

    embedding: Embedding
    layers: tuple[EncoderLayer, ...]
    final_norm: Norm | None


@dataclass(frozen=True, slots=True)
class Decoder:
    """As `Encoder`."""

    embedding: Embedding
    layers: tuple[DecoderLayer, ...]
    final_norm: Norm | None


@dataclass(frozen=True, slots=True)
class Head:
    """logits = x @ weight.T + bias; `weight` (vocabulary, width), None for the decoder's own table."""

    weight: torch.Tensor | None
    bias: torch.Tensor | None = None


@dataclass(frozen=True, slots=True)
class EncoderDecoder:
    """The whole model. Layers that share a `DistanceBias` hold the same object."""

    encoder: Encoder
    decoder: Decoder
    head: Head
