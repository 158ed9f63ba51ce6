"""CodeGen: GPT-J with packed projections, each part of which is its queries, values and keys."""

from __future__ import annotations

from collections.abc import Sequence

from onnxpress_exporter.errors import NotBuildable
from onnxpress_exporter.graphs.build.architecture import Architecture, Linear
from onnxpress_exporter.graphs.build.readers.gptj import gptj
from onnxpress_exporter.graphs.build.source import Source

#: Weights are stored as they lay on so many devices.
_PARTS = 4


def read(source: Source) -> Architecture:
    """CodeGen."""

    def projections(name: str) -> Sequence[Linear]:
        packed = source.linear(f"{name}.qkv_proj")
        width = packed.weight.shape[1]
        parts = packed.weight.reshape(_PARTS, 3, -1, width)
        return [Linear(parts[:, place].reshape(-1, width)) for place in (0, 2, 1)]

    if source.config.n_head % _PARTS:
        raise NotBuildable(f"n_head is {source.config.n_head}")
    return gptj(source, projections)
