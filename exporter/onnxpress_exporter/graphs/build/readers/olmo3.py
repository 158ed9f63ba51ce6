"""OLMo 3: OLMo 2 with windows; layers that have one have a rotation of their own."""

from __future__ import annotations

from onnxpress_exporter.graphs.build.architecture import Architecture
from onnxpress_exporter.graphs.build.readers.olmo2 import olmo2
from onnxpress_exporter.graphs.build.source import Source


def read(source: Source) -> Architecture:
    """OLMo 3."""
    kinds = source.config.layer_types
    ropes = {kind: source.rope("model.rotary_emb", kind) for kind in sorted(set(kinds))}
    return olmo2(source, [ropes[kind] for kind in kinds], source.windows())
