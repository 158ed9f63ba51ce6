"""BART and its kin: layer normalization, biases everywhere, learned or computed positions.

What differs is found in the checkpoint: a `layer_norm` at a stack's end means that layers normalize what they read.
Positions count every token from 0 on, the padding token too, which M2M100 skips.
"""

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
    Layer,
    Norm,
    Stack,
)
from onnxpress_exporter.graphs.build.parts import causal, plain
from onnxpress_exporter.graphs.build.source import Source

ENCODER, DECODER = "model.encoder", "model.decoder"
#: What the head is called; TrOCR has a name of its own.
_HEADS = ("lm_head", "output_projection")


def read(source: Source) -> Architecture:
    """BART, mBART, M2M100 (NLLB), Pegasus, Blenderbot, PLBart or Marian, with its head; of mBART and TrOCR the decoder
    alone, where it looks at what another encoder has read."""
    encodes = source.with_encoder()
    if source.has("model.shared.weight"):
        # Where it is not tied to the stacks' own tables, nothing uses it.
        source.tensor("model.shared.weight")
    config, embedding = source.config, embedding_of(source, DECODER)
    name = next((name for name in _HEADS if source.has(f"{name}.weight")), _HEADS[0])
    head = source.head(embedding.table, name=name)
    bias = getattr(source.module(""), "final_logits_bias", None)
    encoder = None
    if encodes:
        encoder = _stack(source, ENCODER, embedding_of(source, ENCODER), config.encoder_layers, encoder_branches)
    return Architecture(
        decoder_stack(source, embedding),
        replace(head, bias=bias[0] if bias is not None and bool(bias.any()) else None),
        encoder,
    )


def decoder_stack(source: Source, embedding: Embedding) -> Stack:
    """The decoder's layers, each of which looks at what an encoder has read."""
    return _stack(source, DECODER, embedding, source.config.decoder_layers, _decoder_branches)


def embedding_of(source: Source, stack: str) -> Embedding:
    """A stack's words and positions."""
    words, whole = source.module(f"{stack}.embed_tokens"), source.module(stack)
    return Embedding(
        source.tensor(f"{stack}.embed_tokens.weight"),
        # The words' module multiplies, or the stack.
        float(getattr(words, "embed_scale", getattr(whole, "embed_scale", 1.0))),
        positions=_positions(source, f"{stack}.embed_positions"),
        norm=norm_if_any(source, f"{stack}.layernorm_embedding"),
    )


def _positions(source: Source, name: str) -> torch.Tensor:
    """(longest, width), position 0 first."""
    module = source.module(name)
    if not source.has(f"{name}.weight"):
        # M2M100 computes them, and counts from the padding token's id on.
        computed: torch.Tensor = module.weights[module.padding_idx + 1 :]
        return computed
    return source.tensor(f"{name}.weight")[getattr(module, "offset", 0) :]


def _stack(
    source: Source,
    name: str,
    embedding: Embedding,
    count: int,
    branches: Callable[[Source, str], Sequence[tuple[Attention | FeedForward, Norm]]],
) -> Stack:
    last = norm_if_any(source, f"{name}.layer_norm")
    layers = []
    for number in range(count):
        pairs = branches(source, f"{name}.layers.{number}")
        layers.append(
            Layer([Branch(part, joined=norm) if last is None else Branch(part, norm) for part, norm in pairs])
        )
    limit = None if embedding.positions is None else int(embedding.positions.shape[0])
    return Stack(name.removeprefix("model."), embedding, layers, last, limit)


def encoder_branches(source: Source, name: str) -> Sequence[tuple[Attention | FeedForward, Norm]]:
    """Of the encoder's layer of this name, each part with the norm of what it reads or of what it joins."""
    attends = _attention(source, f"{name}.self_attn", source.config.encoder_attention_heads)
    return [
        (replace(attends, kind="bidirectional"), _norm(source, f"{name}.self_attn_layer_norm")),
        _feed_forward(source, name),
    ]


def _decoder_branches(source: Source, name: str) -> Sequence[tuple[Attention | FeedForward, Norm]]:
    heads = source.config.decoder_attention_heads
    looks = _attention(source, f"{name}.encoder_attn", heads)
    return [
        (_attention(source, f"{name}.self_attn", heads), _norm(source, f"{name}.self_attn_layer_norm")),
        (replace(looks, kind="cross"), _norm(source, f"{name}.encoder_attn_layer_norm")),
        _feed_forward(source, name),
    ]


def _attention(source: Source, name: str, heads: int) -> Attention:
    *projections, output = (source.linear(f"{name}.{part}_proj") for part in ("q", "k", "v", "out"))
    return causal(projections, output, heads, heads, projections[0].weight.shape[0] // heads)


def _feed_forward(source: Source, name: str) -> tuple[FeedForward, Norm]:
    feeds = plain(source, f"{name}.fc1", f"{name}.fc2", "activation_function")
    return feeds, _norm(source, f"{name}.final_layer_norm")


def _norm(source: Source, name: str) -> Norm:
    return source.norm(name, "layer", source.module(name).eps)


def norm_if_any(source: Source, name: str) -> Norm | None:
    """The layer normalization of this name; None: there is none."""
    return _norm(source, name) if source.has(f"{name}.weight") else None
