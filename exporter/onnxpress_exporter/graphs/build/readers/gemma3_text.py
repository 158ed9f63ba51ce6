"""Gemma 3 (its text): Gemma 2 with heads normalized; layers with a window have a rotation of their own."""

from __future__ import annotations

from dataclasses import replace

from onnxpress_exporter.graphs.build.architecture import Architecture, Layer
from onnxpress_exporter.graphs.build.parts import attention
from onnxpress_exporter.graphs.build.readers.gemma import gemma, norm
from onnxpress_exporter.graphs.build.readers.gemma2 import sandwich
from onnxpress_exporter.graphs.build.source import Source


def read(source: Source) -> Architecture:
    """Gemma 3."""
    kinds, windows = source.config.layer_types, source.windows()
    ropes = {kind: source.rope("model.rotary_emb", kind) for kind in sorted(set(kinds))}

    def layer(name: str, number: int) -> Layer:
        attends = attention(source, f"{name}.self_attn", ropes[kinds[number]], windows[number])
        query, key = (norm(source, f"{name}.self_attn.{part}_norm") for part in "qk")
        return sandwich(source, name, replace(attends, head_norms=(query, key)))

    return gemma(source, layer)
