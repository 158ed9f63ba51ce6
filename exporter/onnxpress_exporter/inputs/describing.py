"""Pictures that a text is written about, and questions about them: the checkpoint's image processor, and the tokenizer
of what is asked and written."""

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
from onnxpress_exporter.inputs.text import TextInputs, read_text
from onnxpress_exporter.source.checkpoint import Checkpoint
from onnxpress_exporter.source.load_arguments import LoadArguments
from onnxpress_exporter.tasks.row import ExportTask


class DescribingInputs:
    """As `Inputs` says. The tokenizer is proved where it is written; no text of verification is read."""

    check: Check | None = None

    def __init__(self, pictures: PictureInputs, texts: TextInputs) -> None:
        self._pictures = pictures
        self._texts = texts

    def traceable(self, row: ExportTask, model: Any) -> list[Traceable]:
        raise AssertionError(f"{row.name} writes text: its graphs are those of generation")

    def built(self, model: Any) -> Built:
        """As `Inputs` says; pictures are of one size where the program makes all of one."""
        from onnxpress_exporter.graphs.describing import describer_of

        settings = self._pictures.settings
        size, name = output_size(settings), settings.input_names[0]
        sources = [TensorInfo(name, "float32", ("texts", CHANNELS, *(size or ("height", "width"))))]
        example = {name: examples(settings, size or ANY_SIZES[0])[name]}
        if describer_of(model).asked:
            questions = self._texts.examples(len(example[name]))
            sources = [*(TensorInfo(word, "int64", ("texts", "encoder_sequence")) for word in questions), *sources]
            example = {**questions, **example}
        return build_describing(model, sources, example)

    def write(self, row: ExportTask, checkpoint: Checkpoint, folder: Path, model: Any) -> Processors:
        """As `Inputs` says."""
        from onnxpress_exporter.graphs.describing import describer_of

        pictures = self._pictures.write(row, checkpoint, folder, model)
        texts = self._texts.write_for(checkpoint, folder, describer_of(model).decoder, writes=row.writes)
        return Processors(text=texts, image=pictures.image)


def read_describing(checkpoint: Checkpoint, arguments: LoadArguments) -> DescribingInputs:
    """The checkpoint's image processor and its tokenizer.

    Raises:
        UnsupportedCheckpoint: one of them is missing, or cannot be read as transformers reads it.
        VerificationFailed: the image processor was read wrong.
    """
    return DescribingInputs(read_pictures(checkpoint, arguments), read_text(checkpoint, arguments))
