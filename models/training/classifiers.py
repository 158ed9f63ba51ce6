"""Training of sequence classifiers: one label, several labels, a number; one text or a pair.

It knows the shapes of labels and their metrics, not what the texts say.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from training.loop import Feature, Schedule, fit, outputs, stream
from training.recipe import Example


def encode(
    tokenizer: PreTrainedTokenizerFast, rows: Sequence[Example], labels: Sequence[Any] | None = None
) -> list[Feature]:
    """Features of rows with `text` and perhaps `text_pair`, truncated to the tokenizer's limit."""
    pairs = [row["text_pair"] for row in rows] if "text_pair" in rows[0] else None
    encoded = tokenizer([row["text"] for row in rows], pairs, truncation=True)
    features: list[Feature] = [{key: encoded[key][index] for key in encoded} for index in range(len(rows))]
    for feature, label in zip(features, labels or (), strict=bool(labels)):
        feature["labels"] = label
    return features


def train(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    features: Sequence[Feature],
    schedule: Schedule,
    rng: Random,
    title: str,
) -> None:
    fit(model, stream(features, _pad(tokenizer), schedule, rng), schedule, title)


def logits(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, rows: Sequence[Example]) -> torch.Tensor:
    """float32 (rows, labels)."""
    found = outputs(model, encode(tokenizer, rows), _pad(tokenizer), "logits")
    return torch.stack([value for (value,) in found])


def accuracy(predicted: Sequence[Any], gold: Sequence[Any]) -> float:
    right = [bool(p == g) for p, g in zip(predicted, gold, strict=True)]
    return sum(right) / len(right)


def f1(predicted: Sequence[set[Any]], gold: Sequence[set[Any]]) -> float:
    """Micro F1 over sets."""
    hits = sum(len(p & g) for p, g in zip(predicted, gold, strict=True))
    total = sum(map(len, predicted)) + sum(map(len, gold))
    return 2 * hits / total if total else 1.0


def spearman(left: Sequence[float], right: Sequence[float]) -> float:
    """Pearson's correlation of the ranks, ties sharing their mean rank."""
    ranks = torch.stack([_ranks(torch.tensor(left)), _ranks(torch.tensor(right))])
    return float(torch.corrcoef(ranks)[0, 1])


def _ranks(values: torch.Tensor) -> torch.Tensor:
    _, inverse, counts = torch.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum(0).double()
    ranks: torch.Tensor = (last - (counts - 1) / 2)[inverse]
    return ranks


def _pad(tokenizer: PreTrainedTokenizerFast) -> int:
    return int(tokenizer.pad_token_id)
