"""automatic-speech-recognition: what is said in a recording."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onnxpress.format.manifest import Manifest
from onnxpress_exporter.judging import cells
from onnxpress_exporter.judging.cells import Cell
from onnxpress_exporter.judging.columns import SAID, SOUNDS
from onnxpress_exporter.judging.figures import batch_disagreement, compare_heard
from onnxpress_exporter.judging.items import plain_items
from onnxpress_exporter.judging.metrics import HEARD, Evaluation
from onnxpress_exporter.tasks.ctc import CTC, moment_logits, moments
from onnxpress_exporter.tasks.row import ExportTask, Metric, Probes


def _evaluation(name: str, rows: Sequence[Mapping[str, Cell]], manifest: Manifest) -> Evaluation:
    sounds, targets = [cells.sound(row["audio"]) for row in rows], [cells.text(row["text"], empty=True) for row in rows]
    return Evaluation(name, HEARD, sounds, targets)


AUTOMATIC_SPEECH_RECOGNITION = ExportTask(
    name="automatic-speech-recognition",
    head=CTC,
    takes="audio",
    outputs=moment_logits,
    answers_tokens=True,
    postprocessing=moments,
    probes=Probes(),
    items=plain_items,
    compare=compare_heard,
    beside_others=batch_disagreement(compare_heard),
    metric=Metric(({"audio": SOUNDS, "text": SAID},), _evaluation),
)
