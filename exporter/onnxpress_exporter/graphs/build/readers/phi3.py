"""Phi-3 and Phi-4: Llama with packed projections; a part of each head may be rotated."""

from __future__ import annotations

from dataclasses import replace

from onnxpress_exporter.graphs.build.architecture import Architecture, Embedding, FeedForward, Layer
from onnxpress_exporter.graphs.build.parts import causal, decoder, layer_of
from onnxpress_exporter.graphs.build.readers.llama import rms
from onnxpress_exporter.graphs.build.source import Source


def read(source: Source) -> Architecture:
    """Phi-3."""
    config, rope, windows = source.config, source.rope("model.rotary_emb"), source.same_window()
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads

    def layer(name: str, number: int) -> Layer:
        packed, output = (source.linear(f"{name}.self_attn.{part}_proj") for part in ("qkv", "o"))
        attends = causal([packed], output, config.num_attention_heads, config.num_key_value_heads, size, rope)
        up, down = (source.linear(f"{name}.mlp.{part}_proj") for part in ("gate_up", "down"))
        return layer_of(
            replace(attends, window=windows[number]),
            FeedForward([up], down, source.activation("hidden_act"), gated=True),
            rms(source, f"{name}.input_layernorm"),
            rms(source, f"{name}.post_attention_layernorm"),
        )

    embedding = Embedding(source.tensor("model.embed_tokens.weight"))
    return decoder(source, embedding, "model.layers", layer, rms(source, "model.norm"))
