"""T5 (Flan's too), mT5 and UMT5: RMS normalization, biases by distance and no others, scores that nothing scales.

The buckets of distances are asked of the model's own module, not computed again.
"""

from __future__ import annotations

from typing import Any

import torch

from onnxpress_exporter.generators.blocks import Norm
from onnxpress_exporter.generators.encoder_decoder import (
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
from onnxpress_exporter.generators.families.modules import linear


def read_t5(model: Any) -> EncoderDecoder:
    """A loaded T5ForConditionalGeneration, MT5... or UMT5..."""
    encoder, decoder, head = model.encoder, model.decoder, model.lm_head.weight
    table = decoder.embed_tokens.weight
    norm = _norm(decoder.final_layer_norm)
    if _scales_outputs(model):
        norm = Norm("rms", norm.weight.float() * model.config.d_model**-0.5, norm.epsilon)
    return EncoderDecoder(
        encoder=Encoder(
            Embedding(encoder.embed_tokens.weight), _encoder_layers(encoder), _norm(encoder.final_layer_norm)
        ),
        decoder=Decoder(Embedding(table), _decoder_layers(decoder), norm),
        head=Head(None if head.data_ptr() == table.data_ptr() else head),
    )


def _scales_outputs(model: Any) -> bool:
    """Whether what the head reads is divided by the root of the width: never in mT5."""
    config = model.config
    scaled = {"t5": getattr(config, "scale_decoder_outputs", False), "umt5": config.tie_word_embeddings}
    return bool(scaled.get(config.model_type, False))


def _encoder_layers(stack: Any) -> tuple[EncoderLayer, ...]:
    layers, shared = [], None
    for block in stack.block:
        attend, think = block.layer
        shared = _distances(attend.SelfAttention, both_sides=True) or shared
        layers.append(
            EncoderLayer(
                _attention(attend.SelfAttention),
                _norm(attend.layer_norm),
                *_feed_forward(think, stack.config.dense_act_fn),
                bias=shared,
            )
        )
    return tuple(layers)


def _decoder_layers(stack: Any) -> tuple[DecoderLayer, ...]:
    layers, shared = [], None
    for block in stack.block:
        remember, look, think = block.layer
        shared = _distances(remember.SelfAttention, both_sides=False) or shared
        layers.append(
            DecoderLayer(
                _attention(remember.SelfAttention),
                _norm(remember.layer_norm),
                _attention(look.EncDecAttention),
                _norm(look.layer_norm),
                *_feed_forward(think, stack.config.dense_act_fn),
                bias=shared,
            )
        )
    return tuple(layers)


def _attention(module: Any) -> Attention:
    q, k, v, o = (linear(one) for one in (module.q, module.k, module.v, module.o))
    return Attention(q, k, v, o, heads=int(module.n_heads), scale=float(module.scaling))


def _distances(module: Any, both_sides: bool) -> DistanceBias | None:
    """A token at `span` among tokens from 0 to span, or to 2 * span; beyond the span all have one bucket."""
    if not module.has_relative_attention_bias:
        return None
    span = int(module.relative_attention_max_distance)
    with torch.no_grad():
        row = module.compute_bias(1, 2 * span + 1 if both_sides else span + 1, past_seen_tokens=span)[0, :, 0]
    return DistanceBias(row if both_sides else row.flip(-1))


def _feed_forward(layer: Any, activation: str) -> tuple[FeedForward, Norm]:
    module, norm = layer.DenseReluDense, _norm(layer.layer_norm)
    down = linear(module.wo)
    if hasattr(module, "wi"):
        return FeedForward(linear(module.wi), down, activation), norm
    return FeedForward(linear(module.wi_1), down, activation, gate=linear(module.wi_0)), norm


def _norm(module: Any) -> Norm:
    return Norm("rms", module.weight, float(module.variance_epsilon))
