"""Texts and pictures that one graph reads together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from onnxpress.format.manifest import TensorInfo
from onnxpress.format.pictures import PIXEL_MASK
from onnxpress.format.processors import Processors
from onnxpress.image.transform import output_size
from onnxpress_exporter.graphs.generating import Built
from onnxpress_exporter.graphs.spec import GraphSpec, Traceable
from onnxpress_exporter.inputs.pictures import ANY_SIZES, PictureInputs, examples, read_pictures
from onnxpress_exporter.inputs.text import TextInputs, read_text
from onnxpress_exporter.source.checkpoint import Checkpoint
from onnxpress_exporter.source.load_arguments import LoadArguments
from onnxpress_exporter.tasks.row import ExportTask


class JointInputs:
    """As `Inputs` says, of a model with one graph that takes both."""

    def __init__(self, texts: TextInputs, pictures: PictureInputs) -> None:
        self._texts, self._pictures = texts, pictures
        self.check = texts.check

    def traceable(self, row: ExportTask, model: Any) -> list[Traceable]:
        """As `Inputs` says: int64 (batch, sequence), and float32 (batch, channels, height, width)."""
        (texts,) = self._texts.traceable(row, model)
        settings = self._pictures.settings
        size = output_size(settings)
        # As many as there are texts.
        pixels = examples(settings, size or ANY_SIZES[0], len(next(iter(texts.inputs.values()))))
        name = settings.input_names[0]
        axes = ("batch", pixels[name].shape[1], *(size or ("height", "width")))
        inputs = (*texts.spec.inputs, TensorInfo(name, "float32", axes))
        spec = GraphSpec(texts.spec.name, inputs, texts.spec.outputs, texts.spec.role)
        return [replace(texts, spec=spec, inputs={**texts.inputs, name: pixels[name]})]

    def built(self, model: Any) -> Built:
        raise AssertionError(f"{type(model).__name__} reads texts and pictures and writes nothing")

    def write(self, row: ExportTask, checkpoint: Checkpoint, folder: Path, model: Any) -> Processors:
        """As `Inputs` says."""
        pictures = self._pictures.write(row, checkpoint, folder, model)
        return Processors(text=self._texts.write(row, checkpoint, folder, model).text, image=pictures.image)


def read_joint(checkpoint: Checkpoint, arguments: LoadArguments) -> JointInputs:
    """The checkpoint's tokenizer and its image processor.

    Raises:
        UnsupportedCheckpoint, VerificationFailed: as of `read_text` and `read_pictures`.
    """
    settings = read_pictures(checkpoint, arguments).settings
    # Pictures of one size have no padding, and need no mask.
    names = tuple(name for name in settings.input_names if name != PIXEL_MASK)
    return JointInputs(read_text(checkpoint, arguments), PictureInputs(replace(settings, input_names=names)))
