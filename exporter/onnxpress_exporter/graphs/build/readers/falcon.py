"""Falcon with rotation, in its old and new shapes. Its ALiBi, which is rounded to bfloat16, is refused."""

from __future__ import annotations

from onnxpress_exporter.errors import NotBuildable
from onnxpress_exporter.graphs.build.architecture import Architecture, Embedding, Layer
from onnxpress_exporter.graphs.build.parts import decoder, grouped, layer_of, plain
from onnxpress_exporter.graphs.build.source import Source


def read(source: Source) -> Architecture:
    """Falcon."""
    source.refuse_if("alibi")
    config, rope = source.config, source.rope("transformer.rotary_emb")
    epsilon, heads = config.layer_norm_epsilon, config.num_attention_heads
    if config.new_decoder_architecture and not config.parallel_attn:
        raise NotBuildable("new_decoder_architecture is used without parallel_attn")
    kv_heads = config.num_kv_heads if config.new_decoder_architecture else 1 if config.multi_query else heads

    def layer(name: str, number: int) -> Layer:
        two = source.has(f"{name}.ln_attn.weight")
        second = "ln_mlp" if two else None if config.parallel_attn else "post_attention_layernorm"
        return layer_of(
            grouped(source, f"{name}.self_attention", kv_heads, rope),
            plain(source, f"{name}.mlp.dense_h_to_4h", f"{name}.mlp.dense_4h_to_h", "activation"),
            source.norm(f"{name}.{'ln_attn' if two else 'input_layernorm'}", "layer", epsilon),
            None if second is None else source.norm(f"{name}.{second}", "layer", epsilon),
            parallel=config.parallel_attn,
        )

    embedding = Embedding(source.tensor("transformer.word_embeddings.weight"))
    return decoder(source, embedding, "transformer.h", layer, source.norm("transformer.ln_f", "layer", epsilon))
