"""Phi 1, 1.5 and 2: LayerNorm, both branches read the same one; a part of each head is rotated."""

from __future__ import annotations

from onnxpress_exporter.graphs.build.architecture import Architecture, Embedding, Layer
from onnxpress_exporter.graphs.build.parts import attention, decoder, layer_of, plain
from onnxpress_exporter.graphs.build.source import Source


def read(source: Source) -> Architecture:
    """Phi."""
    epsilon, rope = source.config.layer_norm_eps, source.rope("model.rotary_emb")

    def layer(name: str, number: int) -> Layer:
        return layer_of(
            attention(source, f"{name}.self_attn", rope, output="dense"),
            plain(source, f"{name}.mlp.fc1", f"{name}.mlp.fc2"),
            source.norm(f"{name}.input_layernorm", "layer", epsilon),
            None,
            parallel=True,
        )

    embedding = Embedding(source.tensor("model.embed_tokens.weight"))
    return decoder(source, embedding, "model.layers", layer, source.norm("model.final_layernorm", "layer", epsilon))
