"""Texts -> what a task's pipeline takes: the inputs that variants are calibrated on and judged by.

The checkpoint shapes them: its mask token, its prompts, its longest row, its labels through the pipeline. Knows no
graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from onnxpress.errors import InputError
from onnxpress.format.manifest import Manifest
from onnxpress_exporter.quantize.texts import CALIBRATION, JUDGED, LABELS, QUESTIONS

#: Sentences that make one longer text: inputs are not all of one length.
PARAGRAPHS = (2, 5, 12)

#: task -> arguments of every call, so that answers tell as much as they can.
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "feature-extraction": {"return_tensors": "np", "truncation": True},
    "text-classification": {"top_k": None, "truncation": True},
    "token-classification": {"aggregation_strategy": "simple"},
    "zero-shot-classification": {"candidate_labels": list(LABELS)},
}

#: Words of a paragraph where the model's limit would refuse more: tasks that do not cut.
_LONGEST_WORDS = 200


def calibration_items(manifest: Manifest) -> list[Any]:
    """What the ranges are taken from."""
    return _items(manifest, CALIBRATION)


def judged_items(manifest: Manifest) -> list[Any]:
    """What a variant's answers are compared on; no text of these is in the calibration."""
    return _items(manifest, JUDGED)


def _items(manifest: Manifest, sentences: Sequence[str]) -> list[Any]:
    texts = [*sentences, *_paragraphs(sentences, manifest)]
    make = _MAKERS.get(manifest.task, _plain)
    return make(texts, manifest)


def _paragraphs(sentences: Sequence[str], manifest: Manifest) -> Iterator[str]:
    limit = None if manifest.tokenizer is None else manifest.tokenizer.max_length
    words = min(_LONGEST_WORDS, limit // 3 if limit else _LONGEST_WORDS)
    for number, count in enumerate(PARAGRAPHS):
        for start in range(number, len(sentences) - count, 4 * count):
            yield " ".join(" ".join(sentences[start : start + count]).split()[:words])


def _plain(texts: Sequence[str], manifest: Manifest) -> list[Any]:
    return list(texts)


def _masked(texts: Sequence[str], manifest: Manifest) -> list[Any]:
    """One word of each text masked, a different place each time."""
    settings = manifest.tokenizer
    if settings is None or "mask" not in settings.special_tokens:
        raise InputError("The artifact's tokenizer has no mask token, so fill-mask cannot be judged. Export again.")
    mask = settings.special_tokens["mask"].text
    items = []
    for number, text in enumerate(texts):
        words = text.split()
        words[number % len(words)] = mask
        items.append(" ".join(words))
    return items


def _questions(texts: Sequence[str], manifest: Manifest) -> list[Any]:
    return [{"question": QUESTIONS[i % len(QUESTIONS)], "context": text} for i, text in enumerate(texts)]


def _queries(texts: Sequence[str], manifest: Manifest) -> list[Any]:
    """Each text as the query for the six after it."""
    count = 6
    doubled = [*texts, *texts]
    return [{"query": text, "documents": doubled[i + 1 : i + 1 + count]} for i, text in enumerate(texts)]


_MAKERS: Mapping[str, Callable[[Sequence[str], Manifest], list[Any]]] = {
    "fill-mask": _masked,
    "question-answering": _questions,
    "text-ranking": _queries,
}
