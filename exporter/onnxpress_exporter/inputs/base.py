"""The protocol of what a model takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from onnxpress.format.processors import Processors
from onnxpress_exporter.gate.probe import Check
from onnxpress_exporter.graphs.generating import Built
from onnxpress_exporter.graphs.spec import Traceable
from onnxpress_exporter.source.checkpoint import Checkpoint
from onnxpress_exporter.tasks.row import ExportTask


class Inputs(Protocol):
    """How one checkpoint's inputs become arrays. `check`: compares each text of verification; None: that was done."""

    check: Check | None

    def traceable(self, row: ExportTask, model: Any) -> Traceable:
        """A model that reads, ready to be traced as the graph "model".

        Raises:
            UnsupportedCheckpoint: it does not take such inputs.
        """

    def built(self, model: Any) -> Built:
        """The graphs of a model that writes.

        Raises:
            UnsupportedCheckpoint: it cannot be exported.
        """

    def write(self, checkpoint: Checkpoint, folder: Path, model: Any, *, writes: bool) -> Processors:
        """Write the files that the runtime and other libraries read them with, and say what the manifest does.

        Args:
            writes: whether the model writes text.
        """
