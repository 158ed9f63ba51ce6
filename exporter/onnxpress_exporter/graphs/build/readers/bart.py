"""BART and its kin: layer normalization, biases everywhere, learned or sinusoidal positions.

What differs is found in the checkpoint: a `layer_norm` at a stack's end means that layers normalize what they read.
Positions count every token from 0 on, the padding token too, which M2M100 skips.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from onnxpress_exporter.graphs.build.blocks import Norm
from onnxpress_exporter.graphs.build.encoder_decoder import (
    Attention,
    Decoder,
    DecoderLayer,
    Embedding,
    Encoder,
    EncoderDecoder,
    EncoderLayer,
    FeedForward,
    Head,
)
from onnxpress_exporter.graphs.build.readers.source import Source

ENCODER, DECODER = "model.encoder", "model.decoder"


def bart(source: Source) -> EncoderDecoder:
    """BART, mBART, M2M100 (NLLB), Pegasus, Blenderbot, BlenderbotSmall, PLBart or Marian, with its head."""
    config = source.config
    embedding = _embedding(source, DECODER)
    if config.model_type == "blenderbot-small":
        # Its decoder, unlike its encoder, scales nothing, and adds positions after the normalization.
        embedding = replace(embedding, scale=1.0, norm_first=True)
    if source.has("model.shared.weight"):
        # Where it is not tied to the stacks' own tables, nothing uses it.
        source.tensor("model.shared.weight")
    head, bias = source.head("lm_head", embedding.table), getattr(source.module(""), "final_logits_bias", None)
    return EncoderDecoder(
        encoder=Encoder(
            _embedding(source, ENCODER),
            tuple(_encoder_layer(source, f"{ENCODER}.layers.{index}") for index in range(config.encoder_layers)),
            _norm_if_any(source, f"{ENCODER}.layer_norm"),
        ),
        decoder=Decoder(
            embedding,
            tuple(_decoder_layer(source, f"{DECODER}.layers.{index}") for index in range(config.decoder_layers)),
            _norm_if_any(source, f"{DECODER}.layer_norm"),
        ),
        head=Head(None if head is None else head.weight, bias[0] if bias is not None and bool(bias.any()) else None),
    )


def _embedding(source: Source, stack: str) -> Embedding:
    words, whole = source.module(f"{stack}.embed_tokens"), source.module(stack)
    return Embedding(
        source.tensor(f"{stack}.embed_tokens.weight"),
        # The words' module multiplies, or the stack.
        scale=float(getattr(words, "embed_scale", getattr(whole, "embed_scale", 1.0))),
        positions=_positions(source, f"{stack}.embed_positions"),
        norm=_norm_if_any(source, f"{stack}.layernorm_embedding"),
    )


def _positions(source: Source, name: str) -> torch.Tensor:
    """(longest, width), position 0 first."""
    module = source.module(name)
    if not source.has(f"{name}.weight"):
        # M2M100 computes them, and counts from the padding token's id on.
        computed: torch.Tensor = module.weights[module.padding_idx + 1 :]
        return computed
    return source.tensor(f"{name}.weight")[getattr(module, "offset", 0) :]


def _encoder_layer(source: Source, name: str) -> EncoderLayer:
    return EncoderLayer(
        _attention(source, f"{name}.self_attn", source.config.encoder_attention_heads),
        _norm(source, f"{name}.self_attn_layer_norm"),
        _feed_forward(source, name),
        _norm(source, f"{name}.final_layer_norm"),
    )


def _decoder_layer(source: Source, name: str) -> DecoderLayer:
    heads = source.config.decoder_attention_heads
    return DecoderLayer(
        _attention(source, f"{name}.self_attn", heads),
        _norm(source, f"{name}.self_attn_layer_norm"),
        _attention(source, f"{name}.encoder_attn", heads),
        _norm(source, f"{name}.encoder_attn_layer_norm"),
        _feed_forward(source, name),
        _norm(source, f"{name}.final_layer_norm"),
    )


def _attention(source: Source, name: str, heads: int) -> Attention:
    q, k, v, o = (source.linear(f"{name}.{one}_proj") for one in ("q", "k", "v", "out"))
    return Attention(q, k, v, o, heads, scale=float((q.weight.shape[0] // heads) ** -0.5))


def _feed_forward(source: Source, name: str) -> FeedForward:
    up, down = source.linear(f"{name}.fc1"), source.linear(f"{name}.fc2")
    return FeedForward(up, down, source.activation("activation_function"))


def _norm(source: Source, name: str) -> Norm:
    return source.norm(name, "layer", source.module(name).eps)


def _norm_if_any(source: Source, name: str) -> Norm | None:
    return _norm(source, name) if source.has(f"{name}.weight") else None
