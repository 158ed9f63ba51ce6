"""Texts to the items of a task: the same for every backend, made anew from the artifact's tokenizer and a seed.

An item is what the task's pipeline takes, as plain JSON. This module knows nothing of backends or time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.random import Generator

from onnxpress import Artifact, InputError
from onnxpress.manifest import TokenizerSettings
from onnxpress.tokenizer import Tokenizer
from onnxpress_bench.texts import QUESTIONS, Count, text_of

#: Length classes of the latency scenario: name -> tokens, special ones included.
LENGTHS: Mapping[str, int] = {"short": 16, "long": 128}
TEXTS_PER_LENGTH = 12

#: The mixed stream: lengths are log-normal, with many short texts and a long tail (mean 40 tokens, p95 near 120).
STREAM_MEDIAN_TOKENS = 27.0
STREAM_SIGMA = 0.9
STREAM_ITEMS = 512

DOCUMENTS_PER_QUERY = 4

LABELS = ("business", "travel", "complaint")

#: task -> arguments of the call, for every backend.
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "feature-extraction": {"return_tensors": "np"},
    "text-classification": {"top_k": None},
    "token-classification": {"aggregation_strategy": "simple"},
    "zero-shot-classification": {"candidate_labels": list(LABELS)},
}

QUERY_TOKENS = 12

#: task -> the longest text that it puts beside one of ours: a question, a query or a hypothesis.
_BESIDE: Mapping[str, Sequence[str]] = {
    "question-answering": QUESTIONS,
    "zero-shot-classification": [f"This example is {label}." for label in LABELS],
}


@dataclass(frozen=True, slots=True)
class Inputs:
    """`by_length`: class -> items. `stream`: items of mixed length. `tokens`: mean tokens of the texts in each."""

    unit: str
    by_length: Mapping[str, Sequence[Any]]
    stream: Sequence[Any]
    tokens: Mapping[str, float]


def make_inputs(artifact: Artifact, seed: int) -> Inputs:
    """The items for `artifact`'s task; the same seed and tokenizer give the same items.

    Raises:
        InputError: the artifact's task is not one of text.
    """
    manifest, settings = artifact.manifest, artifact.manifest.tokenizer
    task = manifest.task
    if settings is None:
        raise InputError(f"{artifact.folder}: {task} takes no text; this version measures text models only.")
    tokenizer = Tokenizer(artifact.file(settings.file), settings)

    def count(text: str) -> int:
        return len(tokenizer.encode(text).ids)

    embedding = manifest.postprocessing.embedding
    limits = [n for n in (settings.max_length, embedding and embedding.max_length) if n]
    beside = QUERY_TOKENS if task == "text-ranking" else max(map(count, _BESIDE.get(task, ())), default=0)
    limit = max(4, min(limits, default=1_000_000) - beside)
    rng = np.random.default_rng(seed)
    lengths = {name: [min(tokens, limit)] * TEXTS_PER_LENGTH for name, tokens in LENGTHS.items()}
    drawn = rng.lognormal(np.log(STREAM_MEDIAN_TOKENS), STREAM_SIGMA, STREAM_ITEMS)
    lengths["stream"] = np.clip(np.rint(drawn), 4, limit).astype(int).tolist()
    shape = partial(_SHAPES.get(task, _plain), settings=settings, count=count, rng=rng)
    items = {name: [shape(tokens) for tokens in wanted] for name, wanted in lengths.items()}
    return Inputs(
        unit="queries" if task == "text-ranking" else "texts",
        by_length={name: items[name] for name in LENGTHS},
        stream=items["stream"],
        tokens={name: float(np.mean([count(_text(item)) for item in some])) for name, some in items.items()},
    )


def _plain(tokens: int, *, settings: TokenizerSettings, count: Count, rng: Generator) -> str:
    return text_of(tokens, count, rng)


def _masked(tokens: int, *, settings: TokenizerSettings, count: Count, rng: Generator) -> str:
    if "mask" not in settings.special_tokens:
        raise InputError("The artifact's tokenizer has no mask token, so fill-mask cannot be measured. Export again.")
    words = text_of(max(tokens - 1, 4), count, rng).split()
    words[int(rng.integers(len(words)))] = settings.special_tokens["mask"].text
    return " ".join(words)


def _question(tokens: int, *, settings: TokenizerSettings, count: Count, rng: Generator) -> dict[str, str]:
    return {"question": QUESTIONS[int(rng.integers(len(QUESTIONS)))], "context": text_of(tokens, count, rng)}


def _query(tokens: int, *, settings: TokenizerSettings, count: Count, rng: Generator) -> dict[str, Any]:
    documents = [text_of(tokens, count, rng) for _ in range(DOCUMENTS_PER_QUERY)]
    return {"query": text_of(QUERY_TOKENS, count, rng), "documents": documents}


_SHAPES: Mapping[str, Callable[..., Any]] = {
    "fill-mask": _masked,
    "question-answering": _question,
    "text-ranking": _query,
}


def _text(item: Any) -> str:
    """The text whose length was chosen."""
    if isinstance(item, str):
        return item
    return str(item["context"] if "context" in item else item["documents"][0])
