"""Llama and its relatives: rotation, RMS norms before the branches, a gated feed-forward."""

from __future__ import annotations

from onnxpress_exporter.generators.architecture import Attention, Decoder, FeedForward, Layer
from onnxpress_exporter.generators.families.source import Source


def llama(source: Source) -> Decoder:
    """Llama, Mistral, Qwen2 and Qwen3."""
    config = source.config
    epsilon, windows, rope = config.rms_norm_eps, source.windows(), source.rope("model.rotary_emb")
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads

    def layer(index: int) -> Layer:
        name = f"model.layers.{index}"
        norms = None
        if source.has(f"{name}.self_attn.q_norm.weight"):
            query, key = (source.norm(f"{name}.self_attn.{one}_norm", "rms", epsilon) for one in "qk")
            norms = query, key
        attention = Attention(
            projections=[source.linear(f"{name}.self_attn.{one}_proj") for one in "qkv"],
            output=source.linear(f"{name}.self_attn.o_proj"),
            heads=config.num_attention_heads,
            kv_heads=config.num_key_value_heads,
            size=size,
            scale=size**-0.5,
            rope=rope,
            window=windows[index],
            head_norms=norms,
        )
        return Layer(
            attention,
            FeedForward(
                up=[source.linear(f"{name}.mlp.{one}_proj") for one in ("gate", "up")],
                down=source.linear(f"{name}.mlp.down_proj"),
                activation=source.activation("hidden_act"),
                gated=True,
            ),
            before_attention=source.norm(f"{name}.input_layernorm", "rms", epsilon),
            before_feed_forward=source.norm(f"{name}.post_attention_layernorm", "rms", epsilon),
        )

    table = source.tensor("model.embed_tokens.weight")
    return Decoder(
        table=table,
        layers=[layer(index) for index in range(config.num_hidden_layers)],
        norm=source.norm("model.norm", "rms", epsilon),
        head=source.head("lm_head", table),
        limit=config.max_position_embeddings,
    )
