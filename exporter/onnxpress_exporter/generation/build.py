"""A model's graphs: built from its weights where a reader knows the architecture, else traced. Verifies nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import onnx_ir

from onnxpress.manifest import GenerationSettings, GraphInfo, TensorInfo
from onnxpress_exporter import generators
from onnxpress_exporter.errors import NotBuildable, UnsupportedCheckpoint


@dataclass(frozen=True, slots=True)
class Built:
    """Graphs by name. `traced`: why they were not built; None: they were."""

    graphs: Mapping[str, onnx_ir.Model]
    cache: Literal["shared", "growing"]
    limit: int | None
    traced: str | None = None

    @property
    def settings(self) -> GenerationSettings:
        """What the manifest says of how they are called."""
        return GenerationSettings(self.cache, self.limit, self.traced)


def build(model: Any) -> Built:
    """Graphs of a transformers model in float32, whose weights are read when they are saved.

    Raises:
        UnsupportedCheckpoint: no reader knows the model.
    """
    try:
        if model.config.is_encoder_decoder:
            return Built(generators.build_encoder_decoder(model), "shared", generators.context_limit(model))
        return Built({"model": generators.build_decoder(model)}, "shared", generators.context_limit(model))
    except NotBuildable as reason:
        raise UnsupportedCheckpoint(f"{type(model).__name__} cannot be exported: {reason}") from reason


def graph_info(model: onnx_ir.Model) -> GraphInfo:
    """What a graph takes and returns, as the manifest tells it."""
    return GraphInfo(tuple(map(_tensor, model.graph.inputs)), tuple(map(_tensor, model.graph.outputs)))


def _tensor(value: onnx_ir.Value) -> TensorInfo:
    assert value.dtype is not None and value.shape is not None and value.name is not None
    axes = tuple(axis if isinstance(axis, int) else str(axis.value) for axis in value.shape)
    return TensorInfo(value.name, str(value.dtype.numpy()), axes)
