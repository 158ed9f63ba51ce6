"""BART and its kin: layer normalization, biases everywhere, learned or sinusoidal positions.

What differs is read from the modules: a `layer_norm` at a stack's end means that layers normalize what they read.
Positions count every token from 0 on, the padding token too, which M2M100 skips.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from onnxpress_exporter.generators.blocks import Norm
from onnxpress_exporter.generators.encoder_decoder import (
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
from onnxpress_exporter.generators.families.modules import layer_norm, linear


def read_bart(model: Any) -> EncoderDecoder:
    """A loaded ...ForConditionalGeneration of BART, mBART, M2M100, Pegasus, Blenderbot, PLBart, or MarianMTModel."""
    encoder, decoder = model.model.encoder, model.model.decoder
    head, table = model.lm_head.weight, decoder.embed_tokens.weight
    bias = getattr(model, "final_logits_bias", None)
    activation = model.config.activation_function
    return EncoderDecoder(
        encoder=Encoder(
            _embedding(encoder), tuple(_encoder_layer(one, activation) for one in encoder.layers), _final(encoder)
        ),
        decoder=Decoder(
            _decoder_embedding(model),
            tuple(_decoder_layer(one, activation) for one in decoder.layers),
            _final(decoder),
        ),
        head=Head(
            None if head.data_ptr() == table.data_ptr() else head,
            None if bias is None or not bool(bias.any()) else bias[0],
        ),
    )


def _embedding(stack: Any) -> Embedding:
    words = stack.embed_tokens
    norm = getattr(stack, "layernorm_embedding", None)
    return Embedding(
        words.weight,
        scale=float(getattr(words, "embed_scale", getattr(stack, "embed_scale", 1.0))),
        positions=_positions(stack.embed_positions),
        norm=None if norm is None else layer_norm(norm),
    )


def _decoder_embedding(model: Any) -> Embedding:
    """BlenderbotSmall's decoder, unlike its encoder, scales nothing, and adds positions after the normalization."""
    found = _embedding(model.model.decoder)
    return replace(found, scale=1.0, norm_first=True) if model.config.model_type == "blenderbot-small" else found


def _positions(module: Any) -> torch.Tensor:
    """(longest, width), position 0 first."""
    rows: torch.Tensor
    if hasattr(module, "weights"):
        # M2M100 counts from the padding token's id on.
        rows, offset = module.weights, module.padding_idx + 1
    else:
        rows, offset = module.weight, getattr(module, "offset", 0)
    return rows[offset:]


def _encoder_layer(layer: Any, activation: str) -> EncoderLayer:
    return EncoderLayer(
        _attention(layer.self_attn),
        layer_norm(layer.self_attn_layer_norm),
        _feed_forward(layer, activation),
        layer_norm(layer.final_layer_norm),
    )


def _decoder_layer(layer: Any, activation: str) -> DecoderLayer:
    return DecoderLayer(
        _attention(layer.self_attn),
        layer_norm(layer.self_attn_layer_norm),
        _attention(layer.encoder_attn),
        layer_norm(layer.encoder_attn_layer_norm),
        _feed_forward(layer, activation),
        layer_norm(layer.final_layer_norm),
    )


def _attention(module: Any) -> Attention:
    q, k, v, o = (linear(one) for one in (module.q_proj, module.k_proj, module.v_proj, module.out_proj))
    return Attention(q, k, v, o, heads=int(module.num_heads), scale=float(module.scaling))


def _feed_forward(layer: Any, activation: str) -> FeedForward:
    return FeedForward(linear(layer.fc1), linear(layer.fc2), activation)


def _final(stack: Any) -> Norm | None:
    norm = getattr(stack, "layer_norm", None)
    return None if norm is None else layer_norm(norm)
