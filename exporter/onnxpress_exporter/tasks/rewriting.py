"""Tasks of a model that reads one text and writes another: one kind with three names."""

from __future__ import annotations

from dataclasses import replace

from onnxpress_exporter.judging.figures import batch_disagreement, compare_batches_of_continuations
from onnxpress_exporter.judging.items import plain_items
from onnxpress_exporter.tasks.postprocessing import no_postprocessing
from onnxpress_exporter.tasks.row import ExportTask, Head, Probes

TEXT2TEXT_GENERATION = ExportTask(
    name="text2text-generation",
    head=Head("AutoModelForSeq2SeqLM"),
    outputs=None,
    postprocessing=no_postprocessing,
    probes=Probes(),
    items=plain_items,
    compare=compare_batches_of_continuations,
    beside_others=batch_disagreement(compare_batches_of_continuations),
    metric=None,
)
SUMMARIZATION = replace(
    TEXT2TEXT_GENERATION,
    name="summarization",
    model_types=frozenset({"pegasus", "pegasus_x", "bigbird_pegasus"}),
)
TRANSLATION = replace(
    TEXT2TEXT_GENERATION,
    name="translation",
    model_types=frozenset({"marian", "m2m_100", "mbart", "fsmt", "nllb-moe"}),
)
