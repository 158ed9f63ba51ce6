"""Texts and pictures: the checkpoint's tokenizer and its image processor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from onnxpress.format.processors import Processors
from onnxpress_exporter.graphs.generating import Built
from onnxpress_exporter.graphs.spec import Traceable
from onnxpress_exporter.inputs.pictures import PictureInputs, read_pictures
from onnxpress_exporter.inputs.text import TextInputs, read_text
from onnxpress_exporter.source.checkpoint import Checkpoint
from onnxpress_exporter.source.load_arguments import LoadArguments
from onnxpress_exporter.tasks.row import ExportTask


class TextAndPictureInputs:
    """As `Inputs` says, of a model whose towers read one or the other."""

    def __init__(self, texts: TextInputs, pictures: PictureInputs) -> None:
        self._texts, self._pictures = texts, pictures
        self.check = texts.check

    def traceable(self, row: ExportTask, model: Any) -> list[Traceable]:
        """As `Inputs` says: a graph for each tower, whose answers together are the model's."""
        assert row.towers is not None, f"{row.name} has no towers"
        of = {"text": self._texts.traceable_tower, "image": self._pictures.traceable_tower}
        towers = [of[tower.takes](tower) for tower in row.towers(model)]
        row.check_towers(model, towers)
        return towers

    def built(self, model: Any) -> Built:
        raise AssertionError(f"{type(model).__name__} compares texts with pictures and writes nothing")

    def write(self, row: ExportTask, checkpoint: Checkpoint, folder: Path, model: Any) -> Processors:
        """As `Inputs` says."""
        assert row.towers is not None, f"{row.name} has no towers"
        tower = {tower.takes: tower for tower in row.towers(model)}
        pictures = self._pictures.write(row, checkpoint, folder, tower["image"].module)
        reads = tower["text"]
        texts = self._texts.write_for(checkpoint, folder, reads.module, writes=row.writes, tokens=reads.tokens)
        return Processors(text=texts, image=pictures.image)


def read_both(checkpoint: Checkpoint, arguments: LoadArguments) -> TextAndPictureInputs:
    """The checkpoint's tokenizer and its image processor.

    Raises:
        UnsupportedCheckpoint, VerificationFailed: as of `read_text` and `read_pictures`.
    """
    return TextAndPictureInputs(read_text(checkpoint, arguments), read_pictures(checkpoint, arguments))
