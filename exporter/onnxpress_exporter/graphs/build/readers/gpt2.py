"""GPT-2 and DialoGPT: learned positions, packed projections stored (inputs, outputs).

Reordered and upcast attention is the same in float32.
"""

from __future__ import annotations

from dataclasses import replace

from onnxpress_exporter.graphs.build.architecture import Architecture, Embedding, Layer
from onnxpress_exporter.graphs.build.parts import causal, decoder, layer_of, plain
from onnxpress_exporter.graphs.build.source import Source


def read(source: Source) -> Architecture:
    """GPT-2."""
    source.refuse_if("add_cross_attention")
    config = source.config
    epsilon, heads = config.layer_norm_epsilon, config.num_attention_heads

    def layer(name: str, number: int) -> Layer:
        packed, output = (source.linear(f"{name}.attn.c_{part}", transposed=True) for part in ("attn", "proj"))
        attends = causal([packed], output, heads, heads, config.hidden_size // heads)
        scale = attends.scale if config.scale_attn_weights else 1.0
        up, down = f"{name}.mlp.c_fc", f"{name}.mlp.c_proj"
        return layer_of(
            replace(attends, scale=scale / (number + 1) if config.scale_attn_by_inverse_layer_idx else scale),
            plain(source, up, down, "activation_function", transposed=True),
            source.norm(f"{name}.ln_1", "layer", epsilon),
            source.norm(f"{name}.ln_2", "layer", epsilon),
        )

    words, places = (source.tensor(f"transformer.{part}.weight") for part in ("wte", "wpe"))
    norm = source.norm("transformer.ln_f", "layer", epsilon)
    return decoder(source, Embedding(words, positions=places), "transformer.h", layer, norm)
