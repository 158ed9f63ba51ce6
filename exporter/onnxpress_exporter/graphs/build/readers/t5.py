"""T5 (Flan's too): RMS normalization, biases by distance and no others, scores that nothing scales.

The buckets of distances are asked of the model's own module, not computed again.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from onnxpress_exporter.graphs.build.architecture import (
    Architecture,
    Attention,
    Branch,
    DistanceBias,
    Embedding,
    FeedForward,
    Layer,
    Norm,
    Stack,
)
from onnxpress_exporter.graphs.build.parts import causal
from onnxpress_exporter.graphs.build.source import Source


def read(source: Source) -> Architecture:
    """T5."""
    return t5(source, scales_outputs=source.config.scale_decoder_outputs)


def t5(source: Source, *, scales_outputs: bool) -> Architecture:
    """With what the head reads divided by the root of the width, or not."""
    source.with_encoder()
    config = source.config
    embedding = Embedding(source.tensor("decoder.embed_tokens.weight"))
    encoder = Stack(
        "encoder",
        Embedding(source.tensor("encoder.embed_tokens.weight")),
        _layers(source, "encoder", config.num_layers),
        _norm(source, "encoder.final_layer_norm"),
    )
    norm = _norm(source, "decoder.final_layer_norm")
    if scales_outputs:
        norm = replace(norm, weight=norm.weight * config.d_model**-0.5)
    decoder = Stack("decoder", embedding, _layers(source, "decoder", config.num_decoder_layers), norm)
    return Architecture(decoder, source.head(embedding.table), encoder)


def _layers(source: Source, stack: str, count: int) -> list[Layer]:
    decodes = stack == "decoder"
    layers, distances = [], None
    for number in range(count):
        attends, *looks, feeds = (f"{stack}.block.{number}.layer.{place}" for place in range(3 if decodes else 2))
        distances = _distances(source, f"{attends}.SelfAttention", both_sides=not decodes) or distances
        attention = replace(_attention(source, f"{attends}.SelfAttention"), distances=distances)
        parts: list[tuple[str, Attention | FeedForward]] = [
            (attends, attention if decodes else replace(attention, kind="bidirectional")),
            *((name, replace(_attention(source, f"{name}.EncDecAttention"), kind="cross")) for name in looks),
            (feeds, _feed_forward(source, f"{feeds}.DenseReluDense")),
        ]
        layers.append(Layer([Branch(part, _norm(source, f"{name}.layer_norm")) for name, part in parts]))
    return layers


def _attention(source: Source, name: str) -> Attention:
    *projections, output = (source.linear(f"{name}.{part}") for part in "qkvo")
    heads = source.config.num_heads
    return replace(causal(projections, output, heads, heads, projections[0].weight.shape[0] // heads), scale=1.0)


def _distances(source: Source, name: str, *, both_sides: bool) -> DistanceBias | None:
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
    gated = source.config.is_gated_act
    up = [source.linear(f"{name}.{part}") for part in (("wi_0", "wi_1") if gated else ("wi",))]
    return FeedForward(up, source.linear(f"{name}.wo"), source.activation("dense_act_fn"), gated)


def _norm(source: Source, name: str) -> Norm:
    return source.norm(name, "rms", source.config.layer_norm_epsilon)
