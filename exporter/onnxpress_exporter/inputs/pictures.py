"""Pictures: the checkpoint's image processor, as a program of the manifest."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from onnxpress.format.manifest import TensorInfo
from onnxpress.format.pictures import CHANNELS, ImageSettings
from onnxpress.format.processors import Processors
from onnxpress.image.transform import output_size
from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.gate.probe import Check
from onnxpress_exporter.graphs.generating import Built
from onnxpress_exporter.graphs.spec import GraphSpec, Traceable
from onnxpress_exporter.source.checkpoint import Checkpoint, first_line
from onnxpress_exporter.source.image_processors import load_image_processor, read_image_processor
from onnxpress_exporter.source.load_arguments import LoadArguments
from onnxpress_exporter.tasks.row import ExportTask

_BATCH = "batch"

#: Where transformers keeps the settings of an image processor.
_FILES = ("preprocessor_config.json", "processor_config.json")

#: Pictures that are traced: a number unlike any size inside a model.
_ROWS = 3

#: Height and width that are traced where pictures keep their own: multiples of what processors round to, and unlike.
_ANY_SIZE = (96, 160)


class PictureInputs:
    """As `Inputs` says, of the program that a processor of transformers was read as."""

    check: Check | None = None

    def __init__(self, settings: ImageSettings) -> None:
        #: The program.
        self.settings = settings

    def traceable(self, row: ExportTask, model: Any) -> Traceable:
        """float32 (batch, channels, height, width), of one size where the program makes all pictures of one."""
        import torch

        assert row.outputs is not None, f"{row.name} has graphs of its own"
        size = output_size(self.settings.steps)
        axes: tuple[str | int, ...] = (_BATCH, CHANNELS, *(size or ("height", "width")))
        source = TensorInfo(self.settings.input_names[0], "float32", axes)
        pixels = examples(self.settings)[source.name]
        try:
            with torch.no_grad():
                answers = model(**{source.name: pixels})
        except Exception as error:
            shape = " x ".join(map(str, size)) if size else "of any size"
            raise UnsupportedCheckpoint(
                f"{type(model).__name__} does not run on pictures as its image processor makes them ({shape}): "
                f"{first_line(error)}"
            ) from error
        outputs = tuple(
            _shaped(tensor, answers) for tensor in row.outputs(model) if answers.get(tensor.name) is not None
        )
        if not outputs or outputs[0].name != row.outputs(model)[0].name:
            raise UnsupportedCheckpoint(f"{type(model).__name__} does not return {row.outputs(model)[0].name}.")
        return Traceable(GraphSpec("model", (source,), outputs), row.by_rows(model), {source.name: pixels})

    def built(self, model: Any) -> Built:
        raise AssertionError(f"{type(model).__name__} reads pictures and writes nothing")

    def write(self, checkpoint: Checkpoint, folder: Path, model: Any, *, writes: bool) -> Processors:
        """As `Inputs` says. The manifest says it all; the checkpoint's own file is for other libraries."""
        for name in _FILES:
            if (source := checkpoint.model_folder / name).is_file():
                shutil.copyfile(source, folder / name)
        return Processors(image=self.settings)


def examples(settings: ImageSettings) -> dict[str, Any]:
    """What a graph takes, of noise: float32 (pictures, channels, height, width)."""
    import torch

    generator = torch.Generator().manual_seed(0)
    shape = (_ROWS, CHANNELS, *(output_size(settings.steps) or _ANY_SIZE))
    return {settings.input_names[0]: torch.randn(shape, generator=generator)}


def _shaped(tensor: TensorInfo, answers: Mapping[str, Any]) -> TensorInfo:
    """An output whose axes after the batch are those of an answer, where the task's row does not name them."""
    if len(tensor.axes) > 1:
        return tensor
    return replace(tensor, axes=(_BATCH, *(int(axis) for axis in answers[tensor.name].shape[1:])))


def read_pictures(checkpoint: Checkpoint, arguments: LoadArguments) -> PictureInputs:
    """The checkpoint's image processor.

    Raises:
        UnsupportedCheckpoint: there is none, or its class does what no step of the manifest does.
        VerificationFailed: it was read wrong.
    """
    return PictureInputs(read_image_processor(load_image_processor(checkpoint)))
