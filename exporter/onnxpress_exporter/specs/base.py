"""The words that specs are written in. Knows no task and no architecture."""

from __future__ import annotations

from dataclasses import dataclass

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
