"""Pictures: the checkpoint's image processor, as a program of the manifest."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from onnxpress.format.manifest import TensorInfo
from onnxpress.format.pictures import CHANNELS, ImageSettings
from onnxpress.format.processors import Processors
from onnxpress.image.transform import output_size
from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.gate.probe import Check
from onnxpress_exporter.graphs.spec import GraphSpec, Traceable
from onnxpress_exporter.inputs.base import shaped
from onnxpress_exporter.source.checkpoint import Checkpoint, first_line
from onnxpress_exporter.source.image_processors import load_image_processor, read_image_processor
from onnxpress_exporter.source.load_arguments import LoadArguments
from onnxpress_exporter.tasks.row import ExportTask, Tower

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
        self._settings = settings

    def traceable(self, row: ExportTask, model: Any) -> list[Traceable]:
        """As `Inputs` says."""
        assert row.outputs is not None, f"{row.name} has graphs of its own"
        return [self.traceable_tower(Tower("model", "encoder", "image", model, row.outputs(model)), row.by_rows(model))]

    def traceable_tower(self, tower: Tower, module: Any = None) -> Traceable:
        """float32 (batch, channels, height, width), of one size where the program makes all pictures of one.

        Args:
            module: what is traced in the place of the tower's own, which answers the same.

        Raises:
            UnsupportedCheckpoint: it does not take such pictures.
        """
        import torch

        model, name = tower.module, type(getattr(tower.module, "checkpoint", tower.module)).__name__
        size = output_size(self._settings.steps)
        axes: tuple[str | int, ...] = (_BATCH, CHANNELS, *(size or ("height", "width")))
        source = TensorInfo(self._settings.input_names[0], "float32", axes)
        generator = torch.Generator().manual_seed(0)
        pixels = torch.randn((_ROWS, CHANNELS, *(size or _ANY_SIZE)), generator=generator)
        try:
            with torch.no_grad():
                answers = model(**{source.name: pixels})
        except Exception as error:
            shape = " x ".join(map(str, size)) if size else "of any size"
            raise UnsupportedCheckpoint(
                f"{name} does not run on pictures as its image processor makes them ({shape}): {first_line(error)}"
            ) from error
        outputs = tuple(shaped(tensor, answers) for tensor in tower.outputs if answers.get(tensor.name) is not None)
        if not outputs or outputs[0].name != tower.outputs[0].name:
            raise UnsupportedCheckpoint(f"{name} does not return {tower.outputs[0].name}.")
        spec = GraphSpec(tower.name, (source,), outputs, tower.role)
        return Traceable(spec, module or model, {source.name: pixels})

    def write(self, row: ExportTask, checkpoint: Checkpoint, folder: Path, model: Any) -> Processors:
        """As `Inputs` says. The manifest says it all; the checkpoint's own file is for other libraries."""
        for name in _FILES:
            if (source := checkpoint.model_folder / name).is_file():
                shutil.copyfile(source, folder / name)
        return Processors(image=self._settings)


def read_pictures(checkpoint: Checkpoint, arguments: LoadArguments) -> PictureInputs:
    """The checkpoint's image processor.

    Raises:
        UnsupportedCheckpoint: there is none, or its class does what no step of the manifest does.
        VerificationFailed: it was read wrong.
    """
    return PictureInputs(read_image_processor(load_image_processor(checkpoint)))
