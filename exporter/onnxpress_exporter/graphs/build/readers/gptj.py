"""GPT-J and CodeGen: neighbours are rotated, both branches read the same norm, the head has a bias."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from onnxpress_exporter.errors import NotBuildable
from onnxpress_exporter.graphs.build.architecture import Attention, Decoder, Layer, Rope
from onnxpress_exporter.graphs.build.blocks import Linear
from onnxpress_exporter.graphs.build.readers.parts import decoder, plain
from onnxpress_exporter.graphs.build.readers.source import Source

#: CodeGen's weights are stored as they lay on so many devices.
_PARTS = 4


def gptj(source: Source) -> Decoder:
    """GPT-J."""
    return _decoder(source, lambda name: [source.linear(f"{name}.{one}_proj") for one in "qkv"])


def codegen(source: Source) -> Decoder:
    """CodeGen: each part of the packed projection is its queries, values and keys."""

    def projections(name: str) -> Sequence[Linear]:
        packed = source.linear(f"{name}.qkv_proj")
        width = packed.weight.shape[1]
        parts = packed.weight.reshape(_PARTS, 3, -1, width)
        return [Linear(parts[:, one].reshape(-1, width)) for one in (0, 2, 1)]

    if source.config.n_head % _PARTS:
        raise NotBuildable(f"n_head is {source.config.n_head}")
    return _decoder(source, projections)


def _decoder(source: Source, projections: Callable[[str], Sequence[Linear]]) -> Decoder:
    config = source.config
    if not config.rotary_dim:
        raise NotBuildable("rotary_dim is not set")
    exponents = torch.arange(0, config.rotary_dim, 2, dtype=torch.int64) / config.rotary_dim
    rope = Rope("rotary", 1.0 / (10000**exponents), interleaved=True)
    heads, epsilon = config.n_head, config.layer_norm_epsilon
    size = config.n_embd // heads

    def layer(index: int) -> Layer:
        name = f"transformer.h.{index}"
        output = source.linear(f"{name}.attn.out_proj")
        return Layer(
            Attention(projections(f"{name}.attn"), output, heads, heads, size, size**-0.5, rope),
            plain(source, f"{name}.mlp.fc_in", f"{name}.mlp.fc_out", "activation_function"),
            before_attention=source.norm(f"{name}.ln_1", "layer", epsilon),
            parallel=True,
        )

    return decoder(source, layer, source.norm("transformer.ln_f", "layer", epsilon), "transformer.wte")
