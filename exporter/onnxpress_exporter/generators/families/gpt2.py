"""GPT-2 and DialoGPT: learned positions, LayerNorm before the branches, packed projections stored (inputs, outputs)."""

from __future__ import annotations

from onnxpress_exporter.generators.architecture import Attention, Decoder, FeedForward, Layer
from onnxpress_exporter.generators.families.source import Source


def gpt2(source: Source) -> Decoder:
    """GPT-2. Its option to reorder and upcast attention changes nothing in float32."""
    config = source.config
    source.refuse(add_cross_attention=False)
    epsilon, heads = config.layer_norm_epsilon, config.num_attention_heads
    size = config.hidden_size // heads

    def layer(index: int) -> Layer:
        name = f"transformer.h.{index}"
        scale = size**-0.5 if config.scale_attn_weights else 1.0
        attention = Attention(
            projections=[source.linear(f"{name}.attn.c_attn", transposed=True)],
            output=source.linear(f"{name}.attn.c_proj", transposed=True),
            heads=heads,
            kv_heads=heads,
            size=size,
            scale=scale / (index + 1) if config.scale_attn_by_inverse_layer_idx else scale,
        )
        feed_forward = FeedForward(
            up=[source.linear(f"{name}.mlp.c_fc", transposed=True)],
            down=source.linear(f"{name}.mlp.c_proj", transposed=True),
            activation=source.activation("activation_function"),
            gated=False,
        )
        return Layer(
            attention,
            feed_forward,
            before_attention=source.norm(f"{name}.ln_1", "layer", epsilon),
            before_feed_forward=source.norm(f"{name}.ln_2", "layer", epsilon),
        )

    table = source.tensor("transformer.wte.weight")
    return Decoder(
        table=table,
        layers=[layer(index) for index in range(config.num_hidden_layers)],
        norm=source.norm("transformer.ln_f", "layer", epsilon),
        head=source.head("lm_head", table),
        limit=config.max_position_embeddings,
        positions=source.tensor("transformer.wpe.weight"),
    )
