"""OLMo 2: norms of what the branches return, and of all heads together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from onnxpress_exporter.graphs.build.architecture import Architecture, Branch, Embedding, Layer, Rope
from onnxpress_exporter.graphs.build.parts import attention, decoder, gated
from onnxpress_exporter.graphs.build.readers.llama import rms
from onnxpress_exporter.graphs.build.source import Source


def read(source: Source) -> Architecture:
    """OLMo 2."""
    count = source.config.num_hidden_layers
    return olmo2(source, [source.rope("model.rotary_emb")] * count, [None] * count)


def olmo2(source: Source, ropes: Sequence[Rope], windows: Sequence[int | None]) -> Architecture:
    """Each layer's rotation, and its window."""

    def layer(name: str, number: int) -> Layer:
        attends = attention(source, f"{name}.self_attn", ropes[number], windows[number])
        query, key = (rms(source, f"{name}.self_attn.{part}_norm") for part in "qk")
        after = rms(source, f"{name}.post_attention_layernorm")
        return Layer(
            [
                Branch(replace(attends, whole_norms=(query, key)), after=after),
                Branch(gated(source, f"{name}.mlp"), after=rms(source, f"{name}.post_feedforward_layernorm")),
            ]
        )

    embedding = Embedding(source.tensor("model.embed_tokens.weight"))
    return decoder(source, embedding, "model.layers", layer, rms(source, "model.norm"))
