"""Llama and its relatives: rotation, RMS norms, a gated feed-forward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from onnxpress_exporter.graphs.build.architecture import Attention, Decoder, FeedForward, Layer, Rope
from onnxpress_exporter.graphs.build.blocks import Norm
from onnxpress_exporter.graphs.build.readers.parts import attention, decoder, gated
from onnxpress_exporter.graphs.build.readers.source import Source


def llama(source: Source, windows: Sequence[int | None] | None = None, *, interleaved: bool = False) -> Decoder:
    """Llama and Seed: no window."""
    rope = source.rope("model.rotary_emb", interleaved=interleaved)

    def layer(index: int) -> Layer:
        name = f"model.layers.{index}"
        attends = attention(source, f"{name}.self_attn", rope, None if windows is None else windows[index])
        if source.has(f"{name}.self_attn.q_norm.weight"):
            query, key = (_norm(source, f"{name}.self_attn.{one}_norm") for one in "qk")
            attends = replace(attends, head_norms=(query, key))
        return Layer(
            attends,
            gated(source, f"{name}.mlp"),
            before_attention=_norm(source, f"{name}.input_layernorm"),
            before_feed_forward=_norm(source, f"{name}.post_attention_layernorm"),
        )

    return decoder(source, layer, _norm(source, "model.norm"))


def mistral(source: Source) -> Decoder:
    """Mistral: the same window in every layer."""
    return llama(source, source.same_window())


def qwen(source: Source) -> Decoder:
    """Qwen2, Qwen3, whose heads are normalized, and Ministral: some layers may have a window."""
    return llama(source, source.windows())


def helium(source: Source) -> Decoder:
    """Helium and Ernie 4.5: neighbours are rotated."""
    return llama(source, interleaved=True)


def smollm3(source: Source) -> Decoder:
    """SmolLM3: some layers do not rotate."""
    found = qwen(source)
    layers = [
        layer if rotates else replace(layer, attention=replace(layer.attention, rope=None))
        for layer, rotates in zip(found.layers, source.config.no_rope_layers, strict=True)
    ]
    return replace(found, layers=layers)


def granite(source: Source) -> Decoder:
    """Granite: Llama with multipliers."""
    config, found = source.config, llama(source)
    layers = [
        replace(
            layer,
            attention=replace(layer.attention, scale=config.attention_multiplier),
            multiplier=config.residual_multiplier,
        )
        for layer in found.layers
    ]
    return replace(
        found,
        layers=layers,
        table_multiplier=config.embedding_multiplier,
        logits_factor=1.0 / config.logits_scaling,
    )


def phi3(source: Source) -> Decoder:
    """Phi-3 and Phi-4: packed projections, a part of each head may be rotated."""
    config, rope, windows = source.config, source.rope("model.rotary_emb"), source.same_window()
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads

    def layer(index: int) -> Layer:
        name = f"model.layers.{index}"
        attends = Attention(
            projections=[source.linear(f"{name}.self_attn.qkv_proj")],
            output=source.linear(f"{name}.self_attn.o_proj"),
            heads=config.num_attention_heads,
            kv_heads=config.num_key_value_heads,
            size=size,
            scale=size**-0.5,
            rope=rope,
            window=windows[index],
        )
        feeds = FeedForward(
            up=[source.linear(f"{name}.mlp.gate_up_proj")],
            down=source.linear(f"{name}.mlp.down_proj"),
            activation=source.activation("hidden_act"),
            gated=True,
        )
        return Layer(
            attends,
            feeds,
            before_attention=_norm(source, f"{name}.input_layernorm"),
            before_feed_forward=_norm(source, f"{name}.post_attention_layernorm"),
        )

    return decoder(source, layer, _norm(source, "model.norm"))


def olmo(source: Source) -> Decoder:
    """OLMo: LayerNorm without weights, projections clipped."""
    rope = source.rope("model.rotary_emb")
    # The epsilon is not in the config.
    norm = Norm("layer", torch.ones(source.config.hidden_size), 1e-5)

    def layer(index: int) -> Layer:
        name = f"model.layers.{index}"
        attends = replace(attention(source, f"{name}.self_attn", rope), clip=source.config.clip_qkv)
        return Layer(attends, gated(source, f"{name}.mlp"), before_attention=norm, before_feed_forward=norm)

    return decoder(source, layer, norm)


def olmo2(source: Source) -> Decoder:
    """OLMo 2: norms of what the branches return, and of all heads together."""
    rope = source.rope("model.rotary_emb")
    return _olmo2(source, [rope] * source.config.num_hidden_layers, [None] * source.config.num_hidden_layers)


def olmo3(source: Source) -> Decoder:
    """OLMo 3: OLMo 2 with windows; layers that have one have a rotation of their own."""
    kinds = source.config.layer_types
    ropes = {kind: source.rope("model.rotary_emb", kind) for kind in sorted(set(kinds))}
    return _olmo2(source, [ropes[kind] for kind in kinds], source.windows())


def _olmo2(source: Source, ropes: Sequence[Rope], windows: Sequence[int | None]) -> Decoder:
    def layer(index: int) -> Layer:
        name = f"model.layers.{index}"
        query, key = (_norm(source, f"{name}.self_attn.{one}_norm") for one in "qk")
        return Layer(
            replace(attention(source, f"{name}.self_attn", ropes[index], windows[index]), whole_norms=(query, key)),
            gated(source, f"{name}.mlp"),
            after_attention=_norm(source, f"{name}.post_attention_layernorm"),
            after_feed_forward=_norm(source, f"{name}.post_feedforward_layernorm"),
        )

    return decoder(source, layer, _norm(source, "model.norm"))


def _norm(source: Source, name: str) -> Norm:
    return source.norm(name, "rms", source.config.rms_norm_eps)
