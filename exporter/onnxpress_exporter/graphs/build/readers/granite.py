"""Granite: Llama with multipliers."""

from __future__ import annotations

from onnxpress_exporter.graphs.build.architecture import Architecture
from onnxpress_exporter.graphs.build.readers.llama import llama
from onnxpress_exporter.graphs.build.source import Source


def read(source: Source) -> Architecture:
    """As Llama."""
    config = source.config
    return llama(
        source,
        scale=config.attention_multiplier,
        multiplier=config.residual_multiplier,
        table_multiplier=config.embedding_multiplier,
        logits_factor=1.0 / config.logits_scaling,
    )
