"""StarCoder2: LayerNorm, rotation, with a window or without."""

from __future__ import annotations

from onnxpress_exporter.graphs.build.architecture import Architecture, Embedding, Layer
from onnxpress_exporter.graphs.build.parts import attention, decoder, layer_of, plain
from onnxpress_exporter.graphs.build.source import Source


def read(source: Source) -> Architecture:
    """StarCoder2."""
    epsilon, rope, windows = source.config.norm_epsilon, source.rope("model.rotary_emb"), source.same_window()

    def layer(name: str, number: int) -> Layer:
        return layer_of(
            attention(source, f"{name}.self_attn", rope, windows[number]),
            plain(source, f"{name}.mlp.c_fc", f"{name}.mlp.c_proj"),
            source.norm(f"{name}.input_layernorm", "layer", epsilon),
            source.norm(f"{name}.post_attention_layernorm", "layer", epsilon),
        )

    embedding = Embedding(source.tensor("model.embed_tokens.weight"))
    return decoder(source, embedding, "model.layers", layer, source.norm("model.norm", "layer", epsilon))
