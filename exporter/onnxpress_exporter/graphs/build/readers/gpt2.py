"""GPT-2 and DialoGPT: learned positions, packed projections stored (inputs, outputs). It may look at what an encoder
has read.

Reordered and upcast attention is the same in float32.
"""

from __future__ import annotations

from dataclasses import replace

from onnxpress_exporter.graphs.build.architecture import Architecture, Attention, Branch, Embedding, Layer, Linear
from onnxpress_exporter.graphs.build.parts import causal, decoder, layer_of, plain
from onnxpress_exporter.graphs.build.source import Source


def read(source: Source) -> Architecture:
    """GPT-2."""
    config = source.config
    epsilon, heads = config.layer_norm_epsilon, config.num_attention_heads

    def layer(name: str, number: int) -> Layer:
        packed, output = (source.linear(f"{name}.attn.c_{part}", transposed=True) for part in ("attn", "proj"))
        attends = causal([packed], output, heads, heads, config.hidden_size // heads)
        scale = attends.scale if config.scale_attn_weights else 1.0
        attends = replace(attends, scale=scale / (number + 1) if config.scale_attn_by_inverse_layer_idx else scale)
        up, down = f"{name}.mlp.c_fc", f"{name}.mlp.c_proj"
        feeds = plain(source, up, down, "activation_function", transposed=True)
        first, last = (source.norm(f"{name}.ln_{place}", "layer", epsilon) for place in (1, 2))
        if not config.add_cross_attention:
            return layer_of(attends, feeds, first, last)
        norm = source.norm(f"{name}.ln_cross_attn", "layer", epsilon)
        return Layer([Branch(attends, first), Branch(_looking(source, name, attends), norm), Branch(feeds, last)])

    words, places = (source.tensor(f"transformer.{part}.weight") for part in ("wte", "wpe"))
    norm = source.norm("transformer.ln_f", "layer", epsilon)
    return decoder(source, Embedding(words, positions=places), "transformer.h", layer, norm)


def _looking(source: Source, name: str, attends: Attention) -> Attention:
    """What a layer sees of an encoder's; keys and values are packed."""
    queries, packed, output = (
        source.linear(f"{name}.crossattention.{part}", transposed=True) for part in ("q_attn", "c_attn", "c_proj")
    )
    assert packed.bias is not None
    pairs = zip(packed.weight.chunk(2), packed.bias.chunk(2), strict=True)
    projections = [queries, *(Linear(weight, bias) for weight, bias in pairs)]
    return replace(attends, kind="cross", projections=projections, output=output)
