"""GPT-NeoX and Pythia: projections packed head by head, branches parallel or not."""

from __future__ import annotations

from onnxpress_exporter.graphs.build.architecture import Architecture, Embedding, Layer
from onnxpress_exporter.graphs.build.parts import decoder, grouped, layer_of, plain
from onnxpress_exporter.graphs.build.source import Source


def read(source: Source) -> Architecture:
    """GPT-NeoX."""
    config, rope = source.config, source.rope("gpt_neox.rotary_emb")
    epsilon = config.layer_norm_eps

    def layer(name: str, number: int) -> Layer:
        return layer_of(
            grouped(source, f"{name}.attention", config.num_attention_heads, rope),
            plain(source, f"{name}.mlp.dense_h_to_4h", f"{name}.mlp.dense_4h_to_h"),
            source.norm(f"{name}.input_layernorm", "layer", epsilon),
            source.norm(f"{name}.post_attention_layernorm", "layer", epsilon),
            parallel=config.use_parallel_residual,
        )

    embedding = Embedding(source.tensor("gpt_neox.embed_in.weight"))
    norm = source.norm("gpt_neox.final_layer_norm", "layer", epsilon)
    return decoder(source, embedding, "gpt_neox.layers", layer, norm)
