"""zero-shot-audio-classification: labels that the call names, by the vectors of texts and of sounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from onnxpress.format.manifest import Manifest
from onnxpress_exporter.judging import captions, cells
from onnxpress_exporter.judging.cells import Cell
from onnxpress_exporter.judging.columns import LABELS
from onnxpress_exporter.judging.columns import SOUNDS as SOUND_COLUMNS
from onnxpress_exporter.judging.figures import SOUNDS, TEXTS, batch_disagreement, compare_labels, equal_labels
from onnxpress_exporter.judging.items import judged_texts, plain_items
from onnxpress_exporter.judging.labels import of_candidates
from onnxpress_exporter.judging.metrics import Evaluation
from onnxpress_exporter.tasks.feature_extraction import BARE
from onnxpress_exporter.tasks.row import ExportTask, Metric, Probes
from onnxpress_exporter.tasks.two_towers import check_pair_scores, compared_by_pairs, text_and_sound_towers

#: The checkpoint brings no labels of its own to judge by.
_JUDGED_LABELS = captions.OF_SOUNDS.judged[:12]


def _vectors(pipe: Any, items: Sequence[Any]) -> Mapping[str, NDArray[Any]]:
    return {
        SOUNDS: pipe.embed_audio(list(items)),
        TEXTS: pipe.embed_texts(judged_texts(pipe.manifest), truncation=True),
    }


def _evaluation(name: str, rows: Sequence[Mapping[str, Cell]], manifest: Manifest) -> Evaluation:
    return of_candidates(name, [cells.sound(row["audio"]) for row in rows], [row["label"] for row in rows])


ZERO_SHOT_AUDIO_CLASSIFICATION = ExportTask(
    name="zero-shot-audio-classification",
    head=BARE,
    takes="text and audio",
    outputs=None,
    towers=text_and_sound_towers,
    check_towers=check_pair_scores,
    postprocessing=compared_by_pairs,
    probes=Probes(),
    items=plain_items,
    compare=compare_labels,
    beside_others=batch_disagreement(equal_labels),
    vectors=_vectors,
    metric=Metric(({"audio": SOUND_COLUMNS, "label": LABELS},), _evaluation),
    options={"candidate_labels": list(_JUDGED_LABELS)},
    # transformers has no head for it: the body itself compares.
    claims=lambda checkpoint: checkpoint.architecture == "ClapModel",
)
