"""Rotation and LayerNorm with separate projections: Phi, StableLM, StarCoder2, Cohere."""

from __future__ import annotations

from dataclasses import replace

from onnxpress_exporter.graphs.build.architecture import Decoder, Layer
from onnxpress_exporter.graphs.build.readers.parts import attention, decoder, gated, plain
from onnxpress_exporter.graphs.build.readers.source import Source


def phi(source: Source) -> Decoder:
    """Phi 1, 1.5 and 2: both branches read the same norm."""
    epsilon, rope = source.config.layer_norm_eps, source.rope("model.rotary_emb")

    def layer(index: int) -> Layer:
        name = f"model.layers.{index}"
        return Layer(
            attention(source, f"{name}.self_attn", rope, output="dense"),
            plain(source, f"{name}.mlp.fc1", f"{name}.mlp.fc2"),
            before_attention=source.norm(f"{name}.input_layernorm", "layer", epsilon),
            parallel=True,
        )

    return decoder(source, layer, source.norm("model.final_layernorm", "layer", epsilon))


def cohere(source: Source) -> Decoder:
    """Command R without normalized heads, whose norms have a weight for each head."""
    epsilon = source.config.layer_norm_eps
    rope = source.rope("model.rotary_emb", interleaved=True)

    def layer(index: int) -> Layer:
        name = f"model.layers.{index}"
        return Layer(
            attention(source, f"{name}.self_attn", rope),
            gated(source, f"{name}.mlp"),
            before_attention=source.norm(f"{name}.input_layernorm", "layer", epsilon),
            parallel=True,
        )

    found = decoder(source, layer, source.norm("model.norm", "layer", epsilon))
    return replace(found, logits_factor=source.config.logit_scale)


def stablelm(source: Source) -> Decoder:
    """StableLM, parallel or not."""
    config, rope = source.config, source.rope("model.rotary_emb")
    epsilon = config.layer_norm_eps

    def layer(index: int) -> Layer:
        name = f"model.layers.{index}"
        after = f"{name}.post_attention_layernorm"
        return Layer(
            attention(source, f"{name}.self_attn", rope),
            gated(source, f"{name}.mlp"),
            before_attention=source.norm(f"{name}.input_layernorm", "layer", epsilon),
            before_feed_forward=None if config.use_parallel_residual else source.norm(after, "layer", epsilon),
            parallel=config.use_parallel_residual,
        )

    return decoder(source, layer, source.norm("model.norm", "layer", epsilon))


def starcoder2(source: Source) -> Decoder:
    """StarCoder2, with a window or without."""
    epsilon, rope, windows = source.config.norm_epsilon, source.rope("model.rotary_emb"), source.same_window()

    def layer(index: int) -> Layer:
        name = f"model.layers.{index}"
        return Layer(
            attention(source, f"{name}.self_attn", rope, windows[index]),
            plain(source, f"{name}.mlp.c_fc", f"{name}.mlp.c_proj"),
            before_attention=source.norm(f"{name}.input_layernorm", "layer", epsilon),
            before_feed_forward=source.norm(f"{name}.post_attention_layernorm", "layer", epsilon),
        )

    return decoder(source, layer, source.norm("model.norm", "layer", epsilon))
