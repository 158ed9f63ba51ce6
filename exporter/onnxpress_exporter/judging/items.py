"""Makes the inputs of a task's pipeline from texts: those that variants are calibrated on and judged by.

The checkpoint shapes them: its mask token, its prompts, its longest row, its labels through the pipeline. How a text
becomes an item is the task's own. Knows no graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from onnxpress.format.manifest import Manifest
from onnxpress_exporter.judging.texts import CALIBRATION, JUDGED

#: Texts and the artifact they are for -> items of the task's pipeline.
MakeItems = Callable[[Sequence[str], Manifest], list[Any]]

#: Sentences that make one longer text: inputs are not all of one length.
PARAGRAPHS = (2, 5, 12)

#: Words of a paragraph where the model's limit would refuse more: tasks that do not cut.
_LONGEST_WORDS = 200


def calibration_items(make: MakeItems, manifest: Manifest) -> list[Any]:
    """The inputs that the ranges of quantization are taken from."""
    return make(_texts(CALIBRATION, manifest), manifest)


def judged_items(make: MakeItems, manifest: Manifest) -> list[Any]:
    """The inputs that a variant's answers are compared on. None of their texts is in the calibration."""
    return make(_texts(JUDGED, manifest), manifest)


def plain_items(texts: Sequence[str], manifest: Manifest) -> list[Any]:
    """The texts themselves."""
    return list(texts)


def _texts(sentences: Sequence[str], manifest: Manifest) -> list[str]:
    return [*sentences, *_paragraphs(sentences, manifest)]


def _paragraphs(sentences: Sequence[str], manifest: Manifest) -> Iterator[str]:
    limit = None if manifest.tokenizer is None else manifest.tokenizer.max_length
    words = min(_LONGEST_WORDS, limit // 3 if limit else _LONGEST_WORDS)
    for number, count in enumerate(PARAGRAPHS):
        for start in range(number, len(sentences) - count, 4 * count):
            yield " ".join(" ".join(sentences[start : start + count]).split()[:words])
