"""text-generation: what a model writes after a text."""

from __future__ import annotations

from onnxpress_exporter.judging.figures import batch_disagreement, compare_continuations
from onnxpress_exporter.judging.items import plain_items
from onnxpress_exporter.tasks.postprocessing import no_postprocessing
from onnxpress_exporter.tasks.row import ExportTask, Head, Probes

TEXT_GENERATION = ExportTask(
    name="text-generation",
    head=Head("AutoModelForCausalLM"),
    outputs=None,
    postprocessing=no_postprocessing,
    probes=Probes(),
    items=plain_items,
    compare=compare_continuations,
    beside_others=batch_disagreement(compare_continuations),
    metric=None,
)
