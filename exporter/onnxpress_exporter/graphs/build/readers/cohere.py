"""Command R: LayerNorm, both branches read the same one; neighbours are rotated; the logits have a factor.

Its normalized heads, whose norms have a weight for each head, are refused.
"""

from __future__ import annotations

from onnxpress_exporter.graphs.build.architecture import Architecture, Embedding, Layer
from onnxpress_exporter.graphs.build.parts import attention, decoder, gated, layer_of
from onnxpress_exporter.graphs.build.source import Source


def read(source: Source) -> Architecture:
    """Command R."""
    epsilon, rope = source.config.layer_norm_eps, source.rope("model.rotary_emb", interleaved=True)

    def layer(name: str, number: int) -> Layer:
        return layer_of(
            attention(source, f"{name}.self_attn", rope),
            gated(source, f"{name}.mlp"),
            source.norm(f"{name}.input_layernorm", "layer", epsilon),
            None,
            parallel=True,
        )

    embedding, norm = Embedding(source.tensor("model.embed_tokens.weight")), source.norm("model.norm", "layer", epsilon)
    head = source.head(embedding.table, factor=source.config.logit_scale)
    return decoder(source, embedding, "model.layers", layer, norm, head=head)
