"""The protocol of what a model takes."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from onnxpress.format.manifest import TensorInfo
from onnxpress.format.processors import Processors
from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.gate.probe import Check
from onnxpress_exporter.graphs.generating import Built
from onnxpress_exporter.graphs.spec import Traceable
from onnxpress_exporter.source.checkpoint import Checkpoint, first_line
from onnxpress_exporter.tasks.row import ExportTask


class Inputs(Protocol):
    """How one checkpoint's inputs become arrays. `check`: compares each text of verification; None: that was done."""

    check: Check | None

    def traceable(self, row: ExportTask, model: Any) -> Sequence[Traceable]:
        """A model that reads, ready to be traced: as the graph "model", or as a graph for each of its towers.

        Raises:
            UnsupportedCheckpoint: it does not take such inputs.
        """

    def built(self, model: Any) -> Built:
        """The graphs of a model that writes.

        Raises:
            UnsupportedCheckpoint: it cannot be exported.
        """

    def write(self, row: ExportTask, checkpoint: Checkpoint, folder: Path, model: Any) -> Processors:
        """Write the files that the runtime and other libraries read them with, and say what the manifest does."""


def shaped(tensor: TensorInfo, answers: Sequence[Mapping[str, Any]]) -> TensorInfo:
    """An output whose axes after the batch are those of the answers, where the task's row does not name them: a number
    where inputs of all sizes have the same, a name elsewhere."""
    if len(tensor.axes) > 1:
        return tensor
    shapes = zip(*(answer[tensor.name].shape[1:] for answer in answers), strict=True)
    axes = (int(a) if len({a, *b}) == 1 else f"{tensor.name}.{place}" for place, (a, *b) in enumerate(shapes, start=1))
    return replace(tensor, axes=(*tensor.axes, *axes))


#: Where transformers keeps the settings of processors of pictures and of sounds.
_PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")


def copy_processor_files(checkpoint: Checkpoint, folder: Path) -> None:
    """Copy what other libraries read the settings of a checkpoint's processor from."""
    for name in _PROCESSOR_FILES:
        if (source := checkpoint.model_folder / name).is_file():
            shutil.copyfile(source, folder / name)


def answers_of(model: Any, inputs: Mapping[str, Any], what: str) -> Mapping[str, Any]:
    """What a model answers to tensors.

    Args:
        what: the inputs, for the message.

    Raises:
        UnsupportedCheckpoint: it does not.
    """
    import torch

    try:
        with torch.no_grad():
            answers: Mapping[str, Any] = model(**inputs)
    except Exception as error:
        raise UnsupportedCheckpoint(f"{class_of(model)} does not run on {what}: {first_line(error)}") from error
    return answers


def class_of(module: Any) -> str:
    """The name of a model's class, of one of its towers too."""
    return type(getattr(module, "checkpoint", module)).__name__
