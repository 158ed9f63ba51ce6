"""Tasks of a model that reads one text and writes another: one kind with three names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from onnxpress.format.manifest import Manifest
from onnxpress_exporter.judging import cells
from onnxpress_exporter.judging.cells import Cell
from onnxpress_exporter.judging.columns import TEXTS
from onnxpress_exporter.judging.figures import batch_disagreement, compare_batches_of_continuations
from onnxpress_exporter.judging.items import plain_items
from onnxpress_exporter.judging.metrics import WRITTEN, Evaluation
from onnxpress_exporter.tasks.postprocessing import no_postprocessing
from onnxpress_exporter.tasks.row import ExportTask, Head, Metric, Probes

#: The Hub's name of the task, and what many tables call the column.
_TRANSLATION = "translation"

#: What is read, and what should be written.
_LAYOUTS = (
    {
        "source": ("source", "input", "article", "document", "dialogue", *TEXTS, "question", "prompt", "src"),
        "target": (
            *("target", "summary", _TRANSLATION, "highlights", "abstract", "output", "answer", "reference"),
            *("completion", "tgt", "label"),
        ),
    },
)


def _evaluation(name: str, rows: Sequence[Mapping[str, Cell]], manifest: Manifest) -> Evaluation:
    """Evaluate greedily written texts against the right ones."""
    items, targets = ([cells.text(row[role]) for row in rows] for role in ("source", "target"))
    return Evaluation(name, WRITTEN, items, targets, {"do_sample": False, "num_beams": 1})


TEXT2TEXT_GENERATION = ExportTask(
    name="text2text-generation",
    head=Head("AutoModelForSeq2SeqLM"),
    outputs=None,
    postprocessing=no_postprocessing,
    probes=Probes(),
    items=plain_items,
    compare=compare_batches_of_continuations,
    beside_others=batch_disagreement(compare_batches_of_continuations),
    metric=Metric(_LAYOUTS, _evaluation),
)
SUMMARIZATION = replace(
    TEXT2TEXT_GENERATION,
    name="summarization",
    model_types=frozenset({"pegasus", "pegasus_x", "bigbird_pegasus"}),
)
TRANSLATION = replace(
    TEXT2TEXT_GENERATION,
    name=_TRANSLATION,
    model_types=frozenset({"marian", "m2m_100", "mbart", "fsmt", "nllb-moe"}),
)
