"""Asks an artifact through its own pipeline, as its users will: what cannot be opened and asked is not written.

Knows neither PyTorch nor how good the answers are: the gates have judged them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from onnxpress.engine.session import Session
from onnxpress.errors import OnnxpressError
from onnxpress.format.manifest import Manifest
from onnxpress.layouts.artifact import Artifact
from onnxpress.pipelines import build_pipeline, pipeline
from onnxpress.text.tokenizer import Tokenizer
from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.judging.items import judged_items
from onnxpress_exporter.tasks import row_of

#: Tokens that a model that writes is asked for.
_FEW = {"max_new_tokens": 2}


def check_opens(artifact: Artifact, session: Session, tokenizer: Tokenizer | None) -> None:
    """Make the pipeline of an artifact's task over its fp32 graphs, before anything is asked.

    Raises:
        UnsupportedCheckpoint: the task's pipeline refuses the model or the checkpoint's settings.
    """
    task = artifact.manifest.task
    try:
        build_pipeline(task, artifact, session, tokenizer, "opened", {})
    except OnnxpressError as error:
        raise UnsupportedCheckpoint(
            f"The runtime cannot run this checkpoint for {task}: {_without_folder(error, artifact.folder)} "
            "No artifact was written."
        ) from error


def unanswered(folder: Path, precision: str) -> str | None:
    """Open a finished artifact from its files and ask its task's pipeline once; why there is no answer, if so."""
    try:
        artifact = Artifact.open(folder)
        task = row_of(artifact.manifest)
        with pipeline(model=artifact, precision=precision) as pipe:
            options = {**task.options, **task.options_of(artifact.manifest), **(_FEW if task.writes else {})}
            list(pipe(iter([_short(artifact.manifest)]), **options))
    except OnnxpressError as error:
        return f"its own pipeline does not answer: {_without_folder(error, folder)}"
    return None


def _short(manifest: Manifest) -> Any:
    """The judged input with the fewest letters, or a word to go on from: it fits where others do not."""
    task = row_of(manifest)
    items = judged_items(task.items, manifest, task.sounds)
    if task.writes and task.takes == "text":
        # Where a model takes almost nothing, the judged texts may have no word.
        items = [word for item in items for word in str(item).split()[:1]] or ["a"]
    return min(items, key=lambda item: len(str(item).encode()))


def _without_folder(error: OnnxpressError, folder: Path) -> str:
    """A message that does not name the hidden folder in which an artifact is made."""
    return str(error).replace(f"{folder}: ", "").replace(f"{folder}/", "").replace(str(folder), "the artifact")
