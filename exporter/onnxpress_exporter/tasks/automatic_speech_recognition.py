"""automatic-speech-recognition: what is said in a sound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onnxpress.format.manifest import Manifest
from onnxpress_exporter.judging import cells
from onnxpress_exporter.judging.cells import Cell
from onnxpress_exporter.judging.columns import SOUNDS
from onnxpress_exporter.judging.figures import (
    batch_disagreement,
    compare_batches_of_continuations,
    compare_heard,
)
from onnxpress_exporter.judging.items import SPEECH, plain_items
from onnxpress_exporter.judging.metrics import TRANSCRIBED, Evaluation
from onnxpress_exporter.tasks.ctc import CTC, moment_logits, moments
from onnxpress_exporter.tasks.postprocessing import no_postprocessing
from onnxpress_exporter.tasks.row import ExportTask, Head, Metric, Probes

#: What is said in a sound, in the datasets of the Hub.
SAID = ("text", "sentence", "transcription", "transcript", "normalized_text", "raw_transcription", "target")


def evaluation(name: str, rows: Sequence[Mapping[str, Cell]], manifest: Manifest) -> Evaluation:
    """Evaluate what is heard against the right texts."""
    sounds, targets = [cells.sound(row["audio"]) for row in rows], [cells.text(row["text"]) for row in rows]
    greedy = {"generate_kwargs": {"num_beams": 1}} if manifest.generation is not None else {}
    return Evaluation(name, TRANSCRIBED, sounds, targets, greedy)


#: How labelled rows are laid out, of every head.
METRIC = Metric(({"audio": SOUNDS, "text": SAID},), evaluation)

_NAME = "automatic-speech-recognition"

#: Of models that write what they hear.
_WRITTEN = ExportTask(
    name=_NAME,
    head=Head("AutoModelForSpeechSeq2Seq"),
    takes="audio",
    outputs=None,
    postprocessing=no_postprocessing,
    probes=Probes(),
    items=plain_items,
    sounds=SPEECH,
    compare=compare_batches_of_continuations,
    beside_others=batch_disagreement(compare_batches_of_continuations),
    metric=METRIC,
)

AUTOMATIC_SPEECH_RECOGNITION = ExportTask(
    name=_NAME,
    head=CTC,
    takes="audio",
    outputs=moment_logits,
    answers_tokens=True,
    postprocessing=moments,
    probes=Probes(),
    items=plain_items,
    sounds=SPEECH,
    compare=compare_heard,
    beside_others=batch_disagreement(compare_heard),
    metric=METRIC,
    kinds=(_WRITTEN,),
)
