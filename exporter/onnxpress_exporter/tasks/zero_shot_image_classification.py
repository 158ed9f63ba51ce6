"""zero-shot-image-classification: labels that the call names, by the vectors of texts and of pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from onnxpress.format.manifest import Manifest
from onnxpress_exporter.judging import captions, cells
from onnxpress_exporter.judging.cells import Cell
from onnxpress_exporter.judging.columns import LABELS
from onnxpress_exporter.judging.columns import PICTURES as PICTURE_COLUMNS
from onnxpress_exporter.judging.figures import PICTURES, TEXTS, batch_disagreement, compare_labels, equal_labels
from onnxpress_exporter.judging.items import judged_texts, plain_items
from onnxpress_exporter.judging.labels import of_candidates
from onnxpress_exporter.judging.metrics import Evaluation
from onnxpress_exporter.tasks.row import ExportTask, Head, Metric, Probes
from onnxpress_exporter.tasks.two_towers import check_pair_scores, compared_by_pairs, text_and_picture_towers

#: The checkpoint brings no labels of its own to judge by.
_JUDGED_LABELS = captions.OF_PICTURES.judged[:12]


def _vectors(pipe: Any, items: Sequence[Any]) -> Mapping[str, NDArray[Any]]:
    return {
        PICTURES: pipe.embed_images(list(items)),
        TEXTS: pipe.embed_texts(judged_texts(pipe.manifest), truncation=True),
    }


def _evaluation(name: str, rows: Sequence[Mapping[str, Cell]], manifest: Manifest) -> Evaluation:
    return of_candidates(name, [cells.picture(row["image"]) for row in rows], [row["label"] for row in rows])


ZERO_SHOT_IMAGE_CLASSIFICATION = ExportTask(
    name="zero-shot-image-classification",
    head=Head("AutoModelForZeroShotImageClassification"),
    takes="text and image",
    outputs=None,
    towers=text_and_picture_towers,
    check_towers=check_pair_scores,
    postprocessing=compared_by_pairs,
    probes=Probes(),
    items=plain_items,
    compare=compare_labels,
    beside_others=batch_disagreement(equal_labels),
    vectors=_vectors,
    metric=Metric(({"image": PICTURE_COLUMNS, "label": LABELS},), _evaluation),
    options={"candidate_labels": list(_JUDGED_LABELS)},
)
