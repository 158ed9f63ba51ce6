"""How a checkpoint's inputs become arrays, read from its files: texts, pictures, both. A task's row says which."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from onnxpress_exporter.inputs.base import Inputs
from onnxpress_exporter.inputs.both import read_text_and_pictures, read_text_and_sounds
from onnxpress_exporter.inputs.describing import read_describing
from onnxpress_exporter.inputs.documents import read_documents
from onnxpress_exporter.inputs.heard import read_heard
from onnxpress_exporter.inputs.hearing import read_hearing
from onnxpress_exporter.inputs.joint import read_joint
from onnxpress_exporter.inputs.pictures import read_pictures
from onnxpress_exporter.inputs.sounds import read_sounds
from onnxpress_exporter.inputs.text import read_text
from onnxpress_exporter.source.checkpoint import Checkpoint
from onnxpress_exporter.source.load_arguments import LoadArguments
from onnxpress_exporter.tasks.row import ExportTask, Takes

_READERS: Mapping[Takes, Callable[[Checkpoint, LoadArguments], Inputs]] = {
    "text": read_text,
    "image": read_pictures,
    "text and image": read_text_and_pictures,
    "text and audio": read_text_and_sounds,
    "audio": read_sounds,
    "document": read_documents,
}


def read_inputs(row: ExportTask, checkpoint: Checkpoint, arguments: LoadArguments) -> Inputs:
    """How the inputs of a task are read, from a checkpoint's files.

    Raises:
        UnsupportedCheckpoint: they cannot be read as transformers reads them.
    """
    if row.writes and "image" in row.takes:
        return read_describing(checkpoint, arguments)
    if row.answers_tokens and row.takes == "audio":
        return read_heard(checkpoint, arguments)
    if row.writes and row.takes == "audio":
        return read_hearing(checkpoint, arguments)
    if row.takes == "text and image" and row.towers is None:
        return read_joint(checkpoint, arguments)
    return _READERS[row.takes](checkpoint, arguments)
