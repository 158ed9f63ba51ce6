"""Gemma 2: what branches return is normalized as well; scores and logits capped; every second layer sees a window."""

from __future__ import annotations

from dataclasses import replace

from onnxpress_exporter.graphs.build.architecture import Architecture, Attention, Branch, Layer
from onnxpress_exporter.graphs.build.parts import attention, gated
from onnxpress_exporter.graphs.build.readers.gemma import gemma, norm
from onnxpress_exporter.graphs.build.source import Source


def read(source: Source) -> Architecture:
    """Gemma 2."""
    rope, windows = source.rope("model.rotary_emb"), source.windows()

    def layer(name: str, number: int) -> Layer:
        attends = attention(source, f"{name}.self_attn", rope, windows[number])
        return sandwich(source, name, replace(attends, softcap=source.config.attn_logit_softcapping))

    return gemma(source, layer)


def sandwich(source: Source, name: str, attends: Attention) -> Layer:
    """Norms before and after both branches, and scores scaled by a field of the config."""
    first, second, third, fourth = (
        norm(source, f"{name}.{part}_layernorm")
        for part in ("input", "post_attention", "pre_feedforward", "post_feedforward")
    )
    return Layer(
        [
            Branch(replace(attends, scale=source.config.query_pre_attn_scalar**-0.5), first, second),
            Branch(gated(source, f"{name}.mlp", "hidden_activation"), third, fourth),
        ]
    )
