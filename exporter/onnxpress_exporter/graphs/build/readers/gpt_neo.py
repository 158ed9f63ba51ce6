"""GPT-Neo: learned positions; some layers see a window; scores are not scaled."""

from __future__ import annotations

from dataclasses import replace

from onnxpress_exporter.errors import NotBuildable
from onnxpress_exporter.graphs.build.architecture import Architecture, Embedding, Layer
from onnxpress_exporter.graphs.build.parts import attention, decoder, layer_of, plain
from onnxpress_exporter.graphs.build.source import Source


def read(source: Source) -> Architecture:
    """GPT-Neo."""
    config = source.config
    epsilon, windows = config.layer_norm_epsilon, {"global": None, "local": config.window_size}
    if unknown := sorted(set(config.attention_layers) - set(windows)):
        raise NotBuildable(f"a layer's attention is {unknown[0]!r}")

    def layer(name: str, number: int) -> Layer:
        window = windows[config.attention_layers[number]]
        attends = attention(source, f"{name}.attn.attention", None, window, output="out_proj")
        return layer_of(
            replace(attends, scale=1.0),
            plain(source, f"{name}.mlp.c_fc", f"{name}.mlp.c_proj", "activation_function"),
            source.norm(f"{name}.ln_1", "layer", epsilon),
            source.norm(f"{name}.ln_2", "layer", epsilon),
        )

    words, places = (source.tensor(f"transformer.{part}.weight") for part in ("wte", "wpe"))
    norm = source.norm("transformer.ln_f", "layer", epsilon)
    return decoder(source, Embedding(words, positions=places), "transformer.h", layer, norm)
