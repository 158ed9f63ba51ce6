"""Gemma: norms stored less one, a scaled table."""

from __future__ import annotations

from collections.abc import Callable

from onnxpress_exporter.graphs.build.architecture import Architecture, Embedding, Layer, Norm
from onnxpress_exporter.graphs.build.parts import attention, decoder, gated, layer_of
from onnxpress_exporter.graphs.build.source import Source


def read(source: Source) -> Architecture:
    """Gemma."""
    rope = source.rope("model.rotary_emb")

    def layer(name: str, number: int) -> Layer:
        return layer_of(
            attention(source, f"{name}.self_attn", rope),
            gated(source, f"{name}.mlp"),
            norm(source, f"{name}.input_layernorm"),
            norm(source, f"{name}.post_attention_layernorm"),
        )

    return gemma(source, layer)


def gemma(source: Source, layer: Callable[[str, int], Layer]) -> Architecture:
    """What the versions have in common around their layers."""
    source.refuse_if("use_bidirectional_attention")
    config = source.config
    embedding = Embedding(source.tensor("model.embed_tokens.weight"), config.hidden_size**0.5)
    head = source.head(embedding.table, softcap=getattr(config, "final_logit_softcapping", None))
    return decoder(source, embedding, "model.layers", layer, norm(source, "model.norm"), head=head)


def norm(source: Source, name: str) -> Norm:
    """One of the norms of this family."""
    return source.norm(name, "rms", source.config.rms_norm_eps, plus_one=True)
