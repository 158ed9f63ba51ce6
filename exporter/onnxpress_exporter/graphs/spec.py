"""The words that specs are written in: what goes into a graph, what comes out. Knows no task and no architecture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onnxpress.format.manifest import GraphInfo, TensorInfo


@dataclass(frozen=True, slots=True)
class GraphSpec:
    """One graph: its name in the artifact, what goes in and what comes out, in order, and what it does in the model."""

    name: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    role: str = "encoder"

    @property
    def info(self) -> GraphInfo:
        """The spec as the manifest says it."""
        return GraphInfo(self.inputs, self.outputs, self.role)


@dataclass(frozen=True, slots=True)
class Traceable:
    """A module, what to trace of it, and on which inputs."""

    spec: GraphSpec
    module: Any
    inputs: Mapping[str, Any]
