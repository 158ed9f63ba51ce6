"""BlenderbotSmall: BART, but for how its decoder embeds."""

from __future__ import annotations

from dataclasses import replace

from onnxpress_exporter.graphs.build.architecture import Architecture
from onnxpress_exporter.graphs.build.readers import bart
from onnxpress_exporter.graphs.build.source import Source


def read(source: Source) -> Architecture:
    """Its decoder, unlike its encoder, scales nothing, and adds positions after the normalization."""
    architecture = bart.read(source)
    stack = architecture.decoder
    embedding = replace(stack.embedding, multiplier=1.0, norm_first=True)
    return replace(architecture, decoder=replace(stack, embedding=embedding))
