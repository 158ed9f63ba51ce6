"""Learned positions and LayerNorm: GPT-2 (DialoGPT), GPT-Neo, OPT."""

from __future__ import annotations

from dataclasses import replace

from onnxpress_exporter.errors import NotBuildable
from onnxpress_exporter.graphs.build.architecture import Attention, Decoder, Layer
from onnxpress_exporter.graphs.build.readers.parts import attention, decoder, plain
from onnxpress_exporter.graphs.build.readers.source import Source

#: OPT's first rows of the positions' table are not used.
_OPT_OFFSET = 2


def gpt2(source: Source) -> Decoder:
    """GPT-2: packed projections stored (inputs, outputs). Reordered and upcast attention is the same in float32."""
    source.refuse_if("add_cross_attention")
    config = source.config
    epsilon, heads = config.layer_norm_epsilon, config.num_attention_heads
    size = config.hidden_size // heads

    def layer(index: int) -> Layer:
        name = f"transformer.h.{index}"
        scale = size**-0.5 if config.scale_attn_weights else 1.0
        attends = Attention(
            projections=[source.linear(f"{name}.attn.c_attn", transposed=True)],
            output=source.linear(f"{name}.attn.c_proj", transposed=True),
            heads=heads,
            kv_heads=heads,
            size=size,
            scale=scale / (index + 1) if config.scale_attn_by_inverse_layer_idx else scale,
        )
        up, down = f"{name}.mlp.c_fc", f"{name}.mlp.c_proj"
        return Layer(
            attends,
            plain(source, up, down, "activation_function", transposed=True),
            before_attention=source.norm(f"{name}.ln_1", "layer", epsilon),
            before_feed_forward=source.norm(f"{name}.ln_2", "layer", epsilon),
        )

    found = decoder(source, layer, source.norm("transformer.ln_f", "layer", epsilon), "transformer.wte")
    return replace(found, positions=source.tensor("transformer.wpe.weight"))


def gpt_neo(source: Source) -> Decoder:
    """GPT-Neo: some layers see a window; scores are not scaled."""
    config = source.config
    windows = {"global": None, "local": config.window_size}
    if unknown := sorted(set(config.attention_layers) - set(windows)):
        raise NotBuildable(f"a layer's attention is {unknown[0]!r}")
    epsilon = config.layer_norm_epsilon

    def layer(index: int) -> Layer:
        name = f"transformer.h.{index}"
        window = windows[config.attention_layers[index]]
        attends = attention(source, f"{name}.attn.attention", None, window, output="out_proj")
        return Layer(
            replace(attends, scale=1.0),
            plain(source, f"{name}.mlp.c_fc", f"{name}.mlp.c_proj", "activation_function"),
            before_attention=source.norm(f"{name}.ln_1", "layer", epsilon),
            before_feed_forward=source.norm(f"{name}.ln_2", "layer", epsilon),
        )

    found = decoder(source, layer, source.norm("transformer.ln_f", "layer", epsilon), "transformer.wte")
    return replace(found, positions=source.tensor("transformer.wpe.weight"))


def opt(source: Source) -> Decoder:
    """OPT: norms before the branches or, in the 350m, of their sums; its table may be narrower than its layers."""
    config = source.config
    if not config.layer_norm_elementwise_affine:
        raise NotBuildable("layer_norm_elementwise_affine is False")
    # PyTorch's default: the config has none.
    epsilon = 1e-5

    def layer(index: int) -> Layer:
        name = f"model.decoder.layers.{index}"
        first = source.norm(f"{name}.self_attn_layer_norm", "layer", epsilon)
        second = source.norm(f"{name}.final_layer_norm", "layer", epsilon)
        found = Layer(
            attention(source, f"{name}.self_attn", None, output="out_proj"),
            plain(source, f"{name}.fc1", f"{name}.fc2", "activation_function"),
        )
        if config.do_layer_norm_before:
            return replace(found, before_attention=first, before_feed_forward=second)
        return replace(found, joined_attention=first, joined_feed_forward=second)

    last, narrow = "model.decoder.final_layer_norm", config.word_embed_proj_dim != config.hidden_size
    norm = source.norm(last, "layer", epsilon) if source.has(f"{last}.weight") else None
    return replace(
        decoder(source, layer, norm, "model.decoder.embed_tokens"),
        positions=source.tensor("model.decoder.embed_positions.weight")[_OPT_OFFSET:],
        project_in=source.linear("model.decoder.project_in") if narrow else None,
        project_out=source.linear("model.decoder.project_out") if narrow else None,
    )
