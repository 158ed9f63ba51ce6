"""Llama: rotation, RMS norms, a gated feed-forward, no window; and, with options, its relatives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from onnxpress_exporter.graphs.build.architecture import Architecture, Branch, Embedding, Layer, Norm
from onnxpress_exporter.graphs.build.parts import attention, decoder, gated
from onnxpress_exporter.graphs.build.source import Source


def read(source: Source) -> Architecture:
    """Llama."""
    return llama(source)


def llama(
    source: Source,
    windows: Sequence[int | None] | None = None,
    *,
    interleaved: bool = False,
    rotates: Sequence[int] | None = None,
    scale: float | None = None,
    multiplier: float = 1.0,
    table_multiplier: float = 1.0,
    logits_factor: float = 1.0,
) -> Architecture:
    """A relative of Llama; where its heads have norms, these are read.

    Args:
        windows: of each layer. rotates: whether each layer does. interleaved: as in `Rope`.
        scale: of the scores, if not the root of the head size. multiplier: of what branches return.
        table_multiplier, logits_factor: of the words' vectors, and of the logits.
    """
    rope = source.rope("model.rotary_emb", interleaved=interleaved)

    def layer(name: str, number: int) -> Layer:
        attends = attention(
            source,
            f"{name}.self_attn",
            rope if rotates is None or rotates[number] else None,
            None if windows is None else windows[number],
        )
        if source.has(f"{name}.self_attn.q_norm.weight"):
            query, key = (rms(source, f"{name}.self_attn.{part}_norm") for part in "qk")
            attends = replace(attends, head_norms=(query, key))
        if scale is not None:
            attends = replace(attends, scale=scale)
        before = rms(source, f"{name}.input_layernorm")
        return Layer(
            [
                Branch(attends, before, multiplier=multiplier),
                Branch(
                    gated(source, f"{name}.mlp"),
                    rms(source, f"{name}.post_attention_layernorm"),
                    multiplier=multiplier,
                ),
            ]
        )

    embedding = Embedding(source.tensor("model.embed_tokens.weight"), table_multiplier)
    head = source.head(embedding.table, factor=logits_factor)
    return decoder(source, embedding, "model.layers", layer, rms(source, "model.norm"), head=head)


def rms(source: Source, name: str) -> Norm:
    """One of the norms of this family."""
    return source.norm(name, "rms", source.config.rms_norm_eps)
