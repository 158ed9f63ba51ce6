"""Pictures that a text is written about: the checkpoint's image processor, and the tokenizer of what is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from onnxpress.format.manifest import TensorInfo
from onnxpress.format.pictures import CHANNELS
from onnxpress.format.processors import Processors
from onnxpress.image.transform import output_size
from onnxpress_exporter.gate.probe import Check
from onnxpress_exporter.graphs.generating import Built, build_describing
from onnxpress_exporter.graphs.spec import Traceable
from onnxpress_exporter.inputs.pictures import ANY_SIZES, PictureInputs, examples, read_pictures
from onnxpress_exporter.source.checkpoint import Checkpoint, load_tokenizer
from onnxpress_exporter.source.load_arguments import LoadArguments
from onnxpress_exporter.source.tables import find_tables
from onnxpress_exporter.tasks.row import ExportTask
from onnxpress_exporter.write.tokenizer_files import copy_tokenizer_files
from onnxpress_exporter.write.tokenizers import tokenizer_settings, write_tokenizer


class DescribingInputs:
    """As `Inputs` says. The tokenizer is proved where it is written; no text of verification is read."""

    check: Check | None = None

    def __init__(self, pictures: PictureInputs, tokenizer: Any) -> None:
        self._pictures = pictures
        self._tokenizer = tokenizer

    def traceable(self, row: ExportTask, model: Any) -> Traceable:
        raise AssertionError(f"{row.name} writes text: its graphs are those of generation")

    def built(self, model: Any) -> Built:
        """As `Inputs` says; pictures are of one size where the program makes all of one."""
        settings = self._pictures.settings
        size, name = output_size(settings), settings.input_names[0]
        pixels = TensorInfo(name, "float32", ("texts", CHANNELS, *(size or ("height", "width"))))
        return build_describing(model, pixels, examples(settings, size or ANY_SIZES[0])[name])

    def write(self, checkpoint: Checkpoint, folder: Path, model: Any, *, writes: bool) -> Processors:
        """As `Inputs` says."""
        pictures = self._pictures.write(checkpoint, folder, model, writes=writes)
        write_tokenizer(self._tokenizer, folder)
        from onnxpress_exporter.graphs.describing import describer_of

        decoder = describer_of(model).decoder
        texts = tokenizer_settings(self._tokenizer, decoder.config, find_tables(decoder))
        copy_tokenizer_files(checkpoint, self._tokenizer, folder, None)
        return Processors(text=texts, image=pictures.image)


def read_describing(checkpoint: Checkpoint, arguments: LoadArguments) -> DescribingInputs:
    """The checkpoint's image processor and its tokenizer.

    Raises:
        UnsupportedCheckpoint: one of them is missing, or cannot be read as transformers reads it.
        VerificationFailed: the image processor was read wrong.
    """
    return DescribingInputs(read_pictures(checkpoint, arguments), load_tokenizer(checkpoint, arguments))
