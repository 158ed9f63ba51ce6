"""audio-classification: every label of a sound, with its score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onnxpress.format.manifest import Manifest
from onnxpress_exporter.judging import cells
from onnxpress_exporter.judging.cells import Cell
from onnxpress_exporter.judging.columns import LABELS, SOUNDS
from onnxpress_exporter.judging.figures import batch_disagreement, compare_labels, equal_labels
from onnxpress_exporter.judging.items import plain_items
from onnxpress_exporter.judging.labels import of_labels
from onnxpress_exporter.judging.metrics import Evaluation
from onnxpress_exporter.tasks.outputs import sequence_logits
from onnxpress_exporter.tasks.postprocessing import labelled
from onnxpress_exporter.tasks.row import ExportTask, Head, Metric, Probes

#: Families whose heads for sounds are called as those for texts are.
_AS_OF_TEXTS = (
    *("Data2VecAudio", "Hubert", "SEW", "SEWD", "UniSpeech", "UniSpeechSat", "Wav2Vec2", "Wav2Vec2Bert"),
    *("Wav2Vec2Conformer", "WavLM"),
)


def _evaluation(name: str, rows: Sequence[Mapping[str, Cell]], manifest: Manifest) -> Evaluation:
    return of_labels(name, [cells.sound(row["audio"]) for row in rows], [row["label"] for row in rows], manifest)


AUDIO_CLASSIFICATION = ExportTask(
    name="audio-classification",
    head=Head(
        "AutoModelForAudioClassification",
        ("ForAudioClassification", *(f"{family}ForSequenceClassification" for family in _AS_OF_TEXTS)),
    ),
    takes="audio",
    outputs=sequence_logits,
    postprocessing=labelled,
    probes=Probes(),
    items=plain_items,
    compare=compare_labels,
    beside_others=batch_disagreement(equal_labels),
    metric=Metric(({"audio": SOUNDS, "label": LABELS},), _evaluation),
)
