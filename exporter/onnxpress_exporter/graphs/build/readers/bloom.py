"""BLOOM: ALiBi, a norm after the words' table. That some of it was computed in slices changes nothing."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from onnxpress_exporter.graphs.build.architecture import Architecture, Embedding, FeedForward, Layer
from onnxpress_exporter.graphs.build.parts import decoder, grouped, layer_of
from onnxpress_exporter.graphs.build.source import Source


def read(source: Source) -> Architecture:
    """BLOOM."""
    source.refuse_if("apply_residual_connection_post_layernorm")
    epsilon, heads = source.config.layer_norm_epsilon, source.config.n_head

    def layer(name: str, number: int) -> Layer:
        up, down = (source.linear(f"{name}.mlp.{part}") for part in ("dense_h_to_4h", "dense_4h_to_h"))
        return layer_of(
            grouped(source, f"{name}.self_attention", heads, None),
            FeedForward([up], down, "gelu_new", gated=False),
            source.norm(f"{name}.input_layernorm", "layer", epsilon),
            source.norm(f"{name}.post_attention_layernorm", "layer", epsilon),
        )

    embedding = Embedding(
        source.tensor("transformer.word_embeddings.weight"),
        norm=source.norm("transformer.word_embeddings_layernorm", "layer", epsilon),
        norm_first=True,
    )
    norm = source.norm("transformer.ln_f", "layer", epsilon)
    bloom = decoder(source, embedding, "transformer.h", layer, norm)
    return replace(bloom, decoder=replace(bloom.decoder, limit=None, slopes=alibi_slopes(heads)))


def alibi_slopes(heads: int) -> torch.Tensor:
    """float32 (heads): 2**(-8 i / n) for n heads, a power of two; for more, every second one of those of 2 n heads.

    Press, Smith and Lewis, Train Short, Test Long, 2022.
    """
    power = 2 ** int(math.log2(heads))
    slopes = 2.0 ** (-8.0 / power * torch.arange(1, power + 1))
    between = 2.0 ** (-4.0 / power * (2 * torch.arange(heads - power) + 1))
    return torch.cat([slopes, between]).float()
