"""Sounds of which a text is written: the checkpoint's feature extractor, and the tokenizer of what is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from onnxpress.format.processors import Processors
from onnxpress_exporter.gate.probe import Check
from onnxpress_exporter.graphs.generating import Built, build, build_listening
from onnxpress_exporter.graphs.spec import Traceable
from onnxpress_exporter.inputs.sounds import SoundInputs, hears_windows, read_sounds
from onnxpress_exporter.inputs.text import TextInputs, read_text
from onnxpress_exporter.source.checkpoint import Checkpoint
from onnxpress_exporter.source.load_arguments import LoadArguments
from onnxpress_exporter.tasks.row import ExportTask


class HearingInputs:
    """As `Inputs` says. The tokenizer is proved where it is written; no text of verification is read."""

    check: Check | None = None

    def __init__(self, sounds: SoundInputs, texts: TextInputs) -> None:
        self._sounds = sounds
        self._texts = texts

    def traceable(self, row: ExportTask, model: Any) -> list[Traceable]:
        raise AssertionError(f"{row.name} writes text: its graphs are those of generation")

    def built(self, model: Any) -> Built:
        """As `Inputs` says; the reader of a model that hears windows knows what it takes of sounds."""
        return build(model) if hears_windows(self._sounds.alone) else build_listening(model, *self._sounds.heard())

    def write(self, row: ExportTask, checkpoint: Checkpoint, folder: Path, model: Any) -> Processors:
        """As `Inputs` says."""
        texts = self._texts.write_for(checkpoint, folder, model, writes=row.writes)
        return Processors(text=texts, audio=self._sounds.write_for(checkpoint, folder, model.get_encoder()))


def read_hearing(checkpoint: Checkpoint, arguments: LoadArguments) -> HearingInputs:
    """The checkpoint's feature extractor and its tokenizer.

    Raises:
        UnsupportedCheckpoint: one of them is missing, or cannot be read as transformers reads it.
        VerificationFailed: the feature extractor was read wrong.
    """
    return HearingInputs(read_sounds(checkpoint, arguments), read_text(checkpoint, arguments))
