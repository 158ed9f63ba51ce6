"""What readers of several families share: the usual attention, feed-forwards and the frame around the layers."""

from __future__ import annotations

from collections.abc import Callable

from onnxpress_exporter.graphs.build.architecture import Attention, Decoder, FeedForward, Layer, Rope
from onnxpress_exporter.graphs.build.blocks import Norm
from onnxpress_exporter.graphs.build.readers.source import Source


def attention(
    source: Source, name: str, rope: Rope | None, window: int | None = None, *, output: str = "o_proj"
) -> Attention:
    """Separate projections, rotated or not, scaled by the root of the head size."""
    # Sizes as the weights have them: a config may carry fields that its model does not read.
    projections = [source.linear(f"{name}.{one}_proj") for one in "qkv"]
    heads = int(source.config.num_attention_heads)
    size = int(projections[0].weight.shape[0]) // heads
    kv_heads = int(projections[1].weight.shape[0]) // size
    return Attention(projections, source.linear(f"{name}.{output}"), heads, kv_heads, size, size**-0.5, rope, window)


def gated(source: Source, name: str, activation: str = "hidden_act") -> FeedForward:
    """down(activation(gate(x)) * up(x)); `activation` is the config's field."""
    return FeedForward(
        up=[source.linear(f"{name}.gate_proj"), source.linear(f"{name}.up_proj")],
        down=source.linear(f"{name}.down_proj"),
        activation=source.activation(activation),
        gated=True,
    )


def plain(
    source: Source, up: str, down: str, activation: str = "hidden_act", *, transposed: bool = False
) -> FeedForward:
    """down(activation(up(x)))."""
    return FeedForward(
        up=[source.linear(up, transposed=transposed)],
        down=source.linear(down, transposed=transposed),
        activation=source.activation(activation),
        gated=False,
    )


def decoder(
    source: Source, layer: Callable[[int], Layer], norm: Norm | None, table: str = "model.embed_tokens"
) -> Decoder:
    """The layers between the words' table and the head, which may be one."""
    words = source.tensor(f"{table}.weight")
    return Decoder(
        table=words,
        layers=[layer(index) for index in range(source.config.num_hidden_layers)],
        norm=norm,
        head=source.head("lm_head", words),
        limit=getattr(source.config, "max_position_embeddings", None),
    )
