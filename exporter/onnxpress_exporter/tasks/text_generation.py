"""text-generation: what a model writes after a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onnxpress.format.manifest import Manifest
from onnxpress_exporter.judging import cells
from onnxpress_exporter.judging.cells import Cell
from onnxpress_exporter.judging.columns import TEXTS
from onnxpress_exporter.judging.figures import batch_disagreement, compare_continuations
from onnxpress_exporter.judging.items import plain_items
from onnxpress_exporter.judging.metrics import NEXT_TOKENS, Evaluation
from onnxpress_exporter.tasks.postprocessing import no_postprocessing
from onnxpress_exporter.tasks.row import ExportTask, Head, Metric, Probes

#: Texts to go on with a prompt, or by themselves.
_LAYOUTS = (
    {
        "prompt": ("prompt", "question", "instruction", "input", "source"),
        "completion": ("completion", "response", "answer", "output", "target"),
    },
    {"text": TEXTS},
)


def _evaluation(name: str, rows: Sequence[Mapping[str, Cell]], manifest: Manifest) -> Evaluation:
    """Evaluate the tokens that the model reads: those of a completion, or of a whole text without a prompt."""
    items = [
        (cells.text(row["prompt"]), cells.text(row["completion"])) if "prompt" in row else ("", cells.text(row["text"]))
        for row in rows
    ]
    return Evaluation(name, NEXT_TOKENS, items, [text for _, text in items])


TEXT_GENERATION = ExportTask(
    name="text-generation",
    head=Head("AutoModelForCausalLM"),
    outputs=None,
    postprocessing=no_postprocessing,
    probes=Probes(),
    items=plain_items,
    compare=compare_continuations,
    beside_others=batch_disagreement(compare_continuations),
    metric=Metric(_LAYOUTS, _evaluation),
)
