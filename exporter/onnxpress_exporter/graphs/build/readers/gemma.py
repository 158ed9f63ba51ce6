"""Gemma 1, 2 and 3 (text): norms stored less one, a scaled table; later ones also norm what the branches return."""

from __future__ import annotations

from dataclasses import replace

from onnxpress_exporter.graphs.build.architecture import Attention, Decoder, Layer
from onnxpress_exporter.graphs.build.blocks import Norm
from onnxpress_exporter.graphs.build.readers.parts import attention, decoder, gated
from onnxpress_exporter.graphs.build.readers.source import Source


def gemma(source: Source) -> Decoder:
    """Gemma."""
    source.refuse_if("use_bidirectional_attention")
    rope = source.rope("model.rotary_emb")

    def layer(index: int) -> Layer:
        name = f"model.layers.{index}"
        return Layer(
            attention(source, f"{name}.self_attn", rope),
            gated(source, f"{name}.mlp"),
            before_attention=_norm(source, f"{name}.input_layernorm"),
            before_feed_forward=_norm(source, f"{name}.post_attention_layernorm"),
        )

    return _scaled(source, decoder(source, layer, _norm(source, "model.norm")))


def gemma2(source: Source) -> Decoder:
    """Gemma 2: scores and logits capped, every second layer sees a window."""
    source.refuse_if("use_bidirectional_attention")
    rope, windows = source.rope("model.rotary_emb"), source.windows()

    def layer(index: int) -> Layer:
        found = attention(source, f"model.layers.{index}.self_attn", rope, windows[index])
        return _sandwich(source, index, replace(found, softcap=source.config.attn_logit_softcapping))

    return _scaled(source, decoder(source, layer, _norm(source, "model.norm")))


def gemma3(source: Source) -> Decoder:
    """Gemma 3: heads normalized; layers with a window have a rotation of their own."""
    source.refuse_if("use_bidirectional_attention")
    kinds, windows = source.config.layer_types, source.windows()
    ropes = {kind: source.rope("model.rotary_emb", kind) for kind in sorted(set(kinds))}

    def layer(index: int) -> Layer:
        name = f"model.layers.{index}.self_attn"
        found = attention(source, name, ropes[kinds[index]], windows[index])
        norms = _norm(source, f"{name}.q_norm"), _norm(source, f"{name}.k_norm")
        return _sandwich(source, index, replace(found, head_norms=norms))

    return _scaled(source, decoder(source, layer, _norm(source, "model.norm")))


def _sandwich(source: Source, index: int, found: Attention) -> Layer:
    name = f"model.layers.{index}"
    return Layer(
        replace(found, scale=source.config.query_pre_attn_scalar**-0.5),
        gated(source, f"{name}.mlp", "hidden_activation"),
        before_attention=_norm(source, f"{name}.input_layernorm"),
        after_attention=_norm(source, f"{name}.post_attention_layernorm"),
        before_feed_forward=_norm(source, f"{name}.pre_feedforward_layernorm"),
        after_feed_forward=_norm(source, f"{name}.post_feedforward_layernorm"),
    )


def _scaled(source: Source, found: Decoder) -> Decoder:
    config = source.config
    return replace(
        found,
        table_multiplier=config.hidden_size**0.5,
        logits_softcap=getattr(config, "final_logit_softcapping", None),
    )


def _norm(source: Source, name: str) -> Norm:
    return source.norm(name, "rms", source.config.rms_norm_eps, plus_one=True)
