"""StableLM: LayerNorm, a part of each head is rotated; branches parallel or not."""

from __future__ import annotations

from onnxpress_exporter.graphs.build.architecture import Architecture, Embedding, Layer
from onnxpress_exporter.graphs.build.parts import attention, decoder, gated, layer_of
from onnxpress_exporter.graphs.build.source import Source


def read(source: Source) -> Architecture:
    """StableLM."""
    epsilon, rope = source.config.layer_norm_eps, source.rope("model.rotary_emb")
    parallel = source.config.use_parallel_residual

    def layer(name: str, number: int) -> Layer:
        return layer_of(
            attention(source, f"{name}.self_attn", rope),
            gated(source, f"{name}.mlp"),
            source.norm(f"{name}.input_layernorm", "layer", epsilon),
            None if parallel else source.norm(f"{name}.post_attention_layernorm", "layer", epsilon),
            parallel=parallel,
        )

    embedding = Embedding(source.tensor("model.embed_tokens.weight"))
    return decoder(source, embedding, "model.layers", layer, source.norm("model.norm", "layer", epsilon))
