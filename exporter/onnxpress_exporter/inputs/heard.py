"""Sounds of which tokens are heard: the checkpoint's feature extractor, and the tokenizer of the answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from onnxpress.format.processors import Processors
from onnxpress.format.sounds import SoundSettings
from onnxpress_exporter.inputs.sounds import SoundInputs
from onnxpress_exporter.inputs.text import TextInputs, read_text
from onnxpress_exporter.source.checkpoint import Checkpoint
from onnxpress_exporter.source.feature_extractors import read_feature_extractor
from onnxpress_exporter.source.load_arguments import LoadArguments
from onnxpress_exporter.source.processors import load_feature_extractor
from onnxpress_exporter.tasks.row import ExportTask


class HeardInputs(SoundInputs):
    """As `Inputs` says. The tokenizer is proved where it is written; no text of verification is read."""

    def __init__(self, settings: SoundSettings, texts: TextInputs) -> None:
        super().__init__(settings)
        self._texts = texts

    def write(self, row: ExportTask, checkpoint: Checkpoint, folder: Path, model: Any) -> Processors:
        """As `Inputs` says."""
        sounds = super().write(row, checkpoint, folder, model)
        texts = self._texts.write_for(checkpoint, folder, model, writes=row.writes)
        return replace(sounds, text=texts)


def read_heard(checkpoint: Checkpoint, arguments: LoadArguments) -> HeardInputs:
    """The checkpoint's feature extractor and its tokenizer.

    Raises:
        UnsupportedCheckpoint: one of them is missing, or cannot be read as transformers reads it.
        VerificationFailed: the feature extractor was read wrong.
    """
    settings = read_feature_extractor(load_feature_extractor(checkpoint))
    return HeardInputs(settings, read_text(checkpoint, arguments))
