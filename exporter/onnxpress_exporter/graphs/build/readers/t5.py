"""T5 (Flan's too), mT5 and UMT5: RMS normalization, biases by distance and no others, scores that nothing scales.

The buckets of distances are asked of the model's own module, not computed again.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from onnxpress_exporter.graphs.build.blocks import Norm
from onnxpress_exporter.graphs.build.encoder_decoder import (
    Attention,
    Decoder,
    DecoderLayer,
    DistanceBias,
    Embedding,
    Encoder,
    EncoderDecoder,
    EncoderLayer,
    FeedForward,
    Head,
)
from onnxpress_exporter.graphs.build.readers.source import Source


def t5(source: Source) -> EncoderDecoder:
    """T5ForConditionalGeneration, MT5ForConditionalGeneration or UMT5ForConditionalGeneration."""
    config = source.config
    table = source.tensor("decoder.embed_tokens.weight")
    final_norm = _norm(source, "decoder.final_layer_norm")
    if _scales_outputs(source):
        final_norm = replace(final_norm, weight=final_norm.weight * config.d_model**-0.5)
    head = source.head("lm_head", table)
    return EncoderDecoder(
        encoder=Encoder(
            Embedding(source.tensor("encoder.embed_tokens.weight")),
            _encoder_layers(source, config.num_layers),
            _norm(source, "encoder.final_layer_norm"),
        ),
        decoder=Decoder(Embedding(table), _decoder_layers(source, config.num_decoder_layers), final_norm),
        head=Head(None if head is None else head.weight),
    )


def _scales_outputs(source: Source) -> bool:
    """Whether what the head reads is divided by the root of the width: never in mT5."""
    config = source.config
    scaled = {"t5": getattr(config, "scale_decoder_outputs", False), "umt5": config.tie_word_embeddings}
    return bool(scaled.get(config.model_type, False))


def _encoder_layers(source: Source, count: int) -> tuple[EncoderLayer, ...]:
    layers, bias = [], None
    for index in range(count):
        attend, think = (f"encoder.block.{index}.layer.{one}" for one in range(2))
        bias = _distances(source, f"{attend}.SelfAttention", both_sides=True) or bias
        layers.append(
            EncoderLayer(
                _attention(source, f"{attend}.SelfAttention"),
                _norm(source, f"{attend}.layer_norm"),
                _feed_forward(source, f"{think}.DenseReluDense"),
                _norm(source, f"{think}.layer_norm"),
                bias,
            )
        )
    return tuple(layers)


def _decoder_layers(source: Source, count: int) -> tuple[DecoderLayer, ...]:
    layers, bias = [], None
    for index in range(count):
        remember, look, think = (f"decoder.block.{index}.layer.{one}" for one in range(3))
        bias = _distances(source, f"{remember}.SelfAttention", both_sides=False) or bias
        layers.append(
            DecoderLayer(
                _attention(source, f"{remember}.SelfAttention"),
                _norm(source, f"{remember}.layer_norm"),
                _attention(source, f"{look}.EncDecAttention"),
                _norm(source, f"{look}.layer_norm"),
                _feed_forward(source, f"{think}.DenseReluDense"),
                _norm(source, f"{think}.layer_norm"),
                bias,
            )
        )
    return tuple(layers)


def _attention(source: Source, name: str) -> Attention:
    q, k, v, o = (source.linear(f"{name}.{one}") for one in "qkvo")
    return Attention(q, k, v, o, heads=source.config.num_heads, scale=1.0)


def _distances(source: Source, name: str, both_sides: bool) -> DistanceBias | None:
    """A token at `span` among tokens from 0 to span, or to 2 * span; beyond the span all have one bucket."""
    if not source.has(f"{name}.relative_attention_bias.weight"):
        return None
    source.tensor(f"{name}.relative_attention_bias.weight")
    module = source.module(name)
    span = int(module.relative_attention_max_distance)
    with torch.no_grad():
        row = module.compute_bias(1, 2 * span + 1 if both_sides else span + 1, past_seen_tokens=span)[0, :, 0]
    return DistanceBias(row if both_sides else row.flip(-1))


def _feed_forward(source: Source, name: str) -> FeedForward:
    down, activation = source.linear(f"{name}.wo"), source.activation("dense_act_fn")
    if not source.config.is_gated_act:
        return FeedForward(source.linear(f"{name}.wi"), down, activation)
    return FeedForward(source.linear(f"{name}.wi_1"), down, activation, gate=source.linear(f"{name}.wi_0"))


def _norm(source: Source, name: str) -> Norm:
    return source.norm(name, "rms", source.config.layer_norm_epsilon)
