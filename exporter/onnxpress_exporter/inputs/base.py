"""The protocol of what a model takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from onnxpress.format.manifest import TensorInfo
from onnxpress.format.processors import Processors
from onnxpress_exporter.gate.probe import Check
from onnxpress_exporter.graphs.spec import Traceable
from onnxpress_exporter.source.checkpoint import Checkpoint
from onnxpress_exporter.tasks.row import ExportTask


class Inputs(Protocol):
    """How one checkpoint's inputs become arrays. `check`: compares each text of verification; None: that was done."""

    check: Check | None

    def traceable(self, row: ExportTask, model: Any) -> Sequence[Traceable]:
        """A model that reads, ready to be traced: as the graph "model", or as a graph for each of its towers.

        Raises:
            UnsupportedCheckpoint: it does not take such inputs.
        """

    def write(self, row: ExportTask, checkpoint: Checkpoint, folder: Path, model: Any) -> Processors:
        """Write the files that the runtime and other libraries read them with, and say what the manifest does."""


def shaped(tensor: TensorInfo, answers: Mapping[str, Any]) -> TensorInfo:
    """An output whose axes after the batch are those of an answer, where the task's row does not name them."""
    if len(tensor.axes) > 1:
        return tensor
    return replace(tensor, axes=(*tensor.axes, *(int(axis) for axis in answers[tensor.name].shape[1:])))
