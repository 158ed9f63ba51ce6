"""Texts, and pictures or sounds apart from them: the checkpoint's tokenizer, and its processor of the others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from onnxpress.format.pictures import ImageSettings
from onnxpress.format.processors import Processors
from onnxpress_exporter.graphs.generating import Built
from onnxpress_exporter.graphs.spec import Traceable
from onnxpress_exporter.inputs.pictures import PictureInputs, read_pictures
from onnxpress_exporter.inputs.sounds import SoundInputs, read_sounds
from onnxpress_exporter.inputs.text import TextInputs, read_text
from onnxpress_exporter.source.checkpoint import Checkpoint
from onnxpress_exporter.source.load_arguments import LoadArguments
from onnxpress_exporter.tasks.row import ExportTask


class TowerInputs:
    """As `Inputs` says, of a model whose towers read texts, or pictures or sounds."""

    def __init__(self, texts: TextInputs, others: PictureInputs | SoundInputs) -> None:
        self._texts, self._others = texts, others
        self.check = texts.check

    @property
    def settings(self) -> ImageSettings | None:
        """How pictures become arrays; None: there are none."""
        return self._others.settings if isinstance(self._others, PictureInputs) else None

    def traceable(self, row: ExportTask, model: Any) -> list[Traceable]:
        """As `Inputs` says: a graph for each tower, whose answers together are the model's."""
        assert row.towers is not None, f"{row.name} has no towers"
        towers = [
            self._texts.traceable_tower(tower) if tower.takes == "text" else self._others.traceable_tower(tower)
            for tower in row.towers(model)
        ]
        row.check_towers(model, towers)
        return towers

    def built(self, model: Any) -> Built:
        raise AssertionError(f"{type(model).__name__} compares texts with something else and writes nothing")

    def write(self, row: ExportTask, checkpoint: Checkpoint, folder: Path, model: Any) -> Processors:
        """As `Inputs` says."""
        assert row.towers is not None, f"{row.name} has no towers"
        (reads,) = (tower for tower in row.towers(model) if tower.takes == "text")
        (sees,) = (tower for tower in row.towers(model) if tower.takes != "text")
        others = self._others.write(row, checkpoint, folder, sees.module)
        texts = self._texts.write_for(checkpoint, folder, reads.module, writes=row.writes, tokens=reads.tokens)
        return replace(others, text=texts)


def read_text_and_pictures(checkpoint: Checkpoint, arguments: LoadArguments) -> TowerInputs:
    """The checkpoint's tokenizer and its image processor.

    Raises:
        UnsupportedCheckpoint, VerificationFailed: as of `read_text` and `read_pictures`.
    """
    return TowerInputs(read_text(checkpoint, arguments), read_pictures(checkpoint, arguments))


def read_text_and_sounds(checkpoint: Checkpoint, arguments: LoadArguments) -> TowerInputs:
    """The checkpoint's tokenizer and its feature extractor.

    Raises:
        UnsupportedCheckpoint, VerificationFailed: as of `read_text` and `read_sounds`.
    """
    return TowerInputs(read_text(checkpoint, arguments), read_sounds(checkpoint, arguments))
