"""GPT-J: neighbours are rotated, both branches read the same norm, the head has a bias."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from onnxpress_exporter.errors import NotBuildable
from onnxpress_exporter.graphs.build.architecture import Architecture, Embedding, Layer, Linear, Rope
from onnxpress_exporter.graphs.build.parts import causal, decoder, layer_of, plain
from onnxpress_exporter.graphs.build.source import Source


def read(source: Source) -> Architecture:
    """GPT-J."""
    return gptj(source, lambda name: [source.linear(f"{name}.{part}_proj") for part in "qkv"])


def gptj(source: Source, projections: Callable[[str], Sequence[Linear]]) -> Architecture:
    """With the projections of the attention of a name."""
    config = source.config
    if not config.rotary_dim:
        raise NotBuildable("rotary_dim is not set")
    exponents = torch.arange(0, config.rotary_dim, 2, dtype=torch.int64) / config.rotary_dim
    rope = Rope("rotary", 1.0 / (10000**exponents), interleaved=True)
    heads, epsilon = config.n_head, config.layer_norm_epsilon

    def layer(name: str, number: int) -> Layer:
        output = source.linear(f"{name}.attn.out_proj")
        return layer_of(
            causal(projections(f"{name}.attn"), output, heads, heads, config.n_embd // heads, rope),
            plain(source, f"{name}.mlp.fc_in", f"{name}.mlp.fc_out", "activation_function"),
            source.norm(f"{name}.ln_1", "layer", epsilon),
            None,
            parallel=True,
        )

    embedding = Embedding(source.tensor("transformer.wte.weight"))
    return decoder(source, embedding, "transformer.h", layer, source.norm("transformer.ln_f", "layer", epsilon))
