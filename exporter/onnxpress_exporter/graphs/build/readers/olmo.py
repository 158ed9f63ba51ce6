"""OLMo: LayerNorm without weights, projections clipped."""

from __future__ import annotations

from dataclasses import replace

import torch

from onnxpress_exporter.graphs.build.architecture import Architecture, Embedding, Layer, Norm
from onnxpress_exporter.graphs.build.parts import attention, decoder, gated, layer_of
from onnxpress_exporter.graphs.build.source import Source


def read(source: Source) -> Architecture:
    """OLMo."""
    rope = source.rope("model.rotary_emb")
    # The epsilon is not in the config.
    norm = Norm("layer", torch.ones(source.config.hidden_size), 1e-5)

    def layer(name: str, number: int) -> Layer:
        attends = replace(attention(source, f"{name}.self_attn", rope), clip=source.config.clip_qkv)
        return layer_of(attends, gated(source, f"{name}.mlp"), norm, norm)

    return decoder(source, Embedding(source.tensor("model.embed_tokens.weight")), "model.layers", layer, norm)
