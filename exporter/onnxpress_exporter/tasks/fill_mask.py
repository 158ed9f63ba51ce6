"""fill-mask: the likeliest words in place of a masked one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from onnxpress.errors import InputError
from onnxpress.format.manifest import Manifest
from onnxpress_exporter.judging import cells
from onnxpress_exporter.judging.cells import Cell
from onnxpress_exporter.judging.columns import TEXTS
from onnxpress_exporter.judging.figures import batch_disagreement, compare_fillings
from onnxpress_exporter.judging.metrics import WORD, Evaluation
from onnxpress_exporter.tasks.outputs import vocabulary_logits
from onnxpress_exporter.tasks.postprocessing import no_postprocessing
from onnxpress_exporter.tasks.row import ExportTask, Head, Metric, Probes

#: How texts name the masked place, whatever the model's own mask token is.
_WRITTEN = ("[MASK]", "<mask>")


def _items(texts: Sequence[str], manifest: Manifest) -> list[Any]:
    """One word of each text masked, a different place each time."""
    mask = _mask_token(manifest)
    items = []
    for number, text in enumerate(texts):
        words = text.split()
        words[number % len(words)] = mask
        items.append(" ".join(words))
    return items


def _evaluation(name: str, rows: Sequence[Mapping[str, Cell]], manifest: Manifest) -> Evaluation:
    mask = _mask_token(manifest)
    items = []
    for row in rows:
        text = cells.text(row["text"])
        for written in _WRITTEN:
            text = text.replace(written, mask)
        if text.count(mask) != 1:
            row["text"].fail(f"a text with one {mask}")
        items.append(text)
    return Evaluation(name, WORD, items, [cells.text(row["target"]).strip() for row in rows])


def _mask_token(manifest: Manifest) -> str:
    settings = manifest.tokenizer
    if settings is None or "mask" not in settings.special_tokens:
        raise InputError("The artifact's tokenizer has no mask token, so fill-mask cannot be judged. Export again.")
    return settings.special_tokens["mask"].text


FILL_MASK = ExportTask(
    name="fill-mask",
    head=Head("AutoModelForMaskedLM", ("ForMaskedLM", "ForPreTraining")),
    outputs=vocabulary_logits,
    postprocessing=no_postprocessing,
    probes=Probes(masked=True),
    items=_items,
    compare=compare_fillings,
    beside_others=batch_disagreement(compare_fillings),
    metric=Metric(({"text": TEXTS, "target": ("target", "word", "answer", "label", "masked_word")},), _evaluation),
)
