"""Projections packed head by head: GPT-NeoX (Pythia), Falcon, BLOOM."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from onnxpress_exporter.errors import NotBuildable
from onnxpress_exporter.graphs.build.architecture import Attention, Decoder, FeedForward, Layer, Rope
from onnxpress_exporter.graphs.build.readers.parts import decoder, plain
from onnxpress_exporter.graphs.build.readers.source import Source


def gpt_neox(source: Source) -> Decoder:
    """GPT-NeoX and Pythia, parallel or not."""
    config, rope = source.config, source.rope("gpt_neox.rotary_emb")
    epsilon, heads = config.layer_norm_eps, config.num_attention_heads

    def layer(index: int) -> Layer:
        name = f"gpt_neox.layers.{index}"
        return Layer(
            _attention(source, f"{name}.attention", heads, rope),
            plain(source, f"{name}.mlp.dense_h_to_4h", f"{name}.mlp.dense_4h_to_h"),
            before_attention=source.norm(f"{name}.input_layernorm", "layer", epsilon),
            before_feed_forward=source.norm(f"{name}.post_attention_layernorm", "layer", epsilon),
            parallel=config.use_parallel_residual,
        )

    return decoder(source, layer, source.norm("gpt_neox.final_layer_norm", "layer", epsilon), "gpt_neox.embed_in")


def falcon(source: Source) -> Decoder:
    """Falcon with rotation, in its old and new shapes. Its ALiBi, which is rounded to bfloat16, is refused."""
    source.refuse_if("alibi")
    config, rope = source.config, source.rope("transformer.rotary_emb")
    epsilon, heads = config.layer_norm_epsilon, config.num_attention_heads
    if config.new_decoder_architecture and not config.parallel_attn:
        raise NotBuildable("new_decoder_architecture is used without parallel_attn")
    kv_heads = config.num_kv_heads if config.new_decoder_architecture else 1 if config.multi_query else heads

    def layer(index: int) -> Layer:
        name = f"transformer.h.{index}"
        two = source.has(f"{name}.ln_attn.weight")
        second = "ln_mlp" if two else None if config.parallel_attn else "post_attention_layernorm"
        return Layer(
            _attention(source, f"{name}.self_attention", kv_heads, rope),
            plain(source, f"{name}.mlp.dense_h_to_4h", f"{name}.mlp.dense_4h_to_h", "activation"),
            before_attention=source.norm(f"{name}.{'ln_attn' if two else 'input_layernorm'}", "layer", epsilon),
            before_feed_forward=None if second is None else source.norm(f"{name}.{second}", "layer", epsilon),
            parallel=config.parallel_attn,
        )

    return decoder(source, layer, source.norm("transformer.ln_f", "layer", epsilon), "transformer.word_embeddings")


def bloom(source: Source) -> Decoder:
    """BLOOM: ALiBi, a norm after the words' table. That some of it was computed in slices changes nothing."""
    source.refuse_if("apply_residual_connection_post_layernorm")
    config = source.config
    epsilon, heads = config.layer_norm_epsilon, config.n_head

    def layer(index: int) -> Layer:
        name = f"transformer.h.{index}"
        up, down = (source.linear(f"{name}.mlp.{one}") for one in ("dense_h_to_4h", "dense_4h_to_h"))
        return Layer(
            _attention(source, f"{name}.self_attention", heads, None),
            FeedForward([up], down, "gelu_new", gated=False),
            before_attention=source.norm(f"{name}.input_layernorm", "layer", epsilon),
            before_feed_forward=source.norm(f"{name}.post_attention_layernorm", "layer", epsilon),
        )

    found = decoder(source, layer, source.norm("transformer.ln_f", "layer", epsilon), "transformer.word_embeddings")
    norm = source.norm("transformer.word_embeddings_layernorm", "layer", epsilon)
    return replace(found, limit=None, table_norm=norm, slopes=alibi_slopes(heads))


def alibi_slopes(heads: int) -> torch.Tensor:
    """float32 (heads): 2**(-8 i / n) for n heads, a power of two; for more, every second one of those of 2 n heads.

    Press, Smith and Lewis, Train Short, Test Long, 2022.
    """
    power = 2 ** int(math.log2(heads))
    slopes = 2.0 ** (-8.0 / power * torch.arange(1, power + 1))
    between = 2.0 ** (-4.0 / power * (2 * torch.arange(heads - power) + 1))
    return torch.cat([slopes, between]).float()


def _attention(source: Source, name: str, kv_heads: int, rope: Rope | None) -> Attention:
    heads = source.config.num_attention_heads
    size = source.config.hidden_size // heads
    projections = source.grouped(f"{name}.query_key_value", heads, kv_heads)
    return Attention(projections, source.linear(f"{name}.dense"), heads, kv_heads, size, size**-0.5, rope)
