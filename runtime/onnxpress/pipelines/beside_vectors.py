"""What a graph gives beside a text's dense vector in the same pass: a sparse vector, and a vector for each token.

The formulas are those of Chen et al., BGE M3-Embedding, arXiv 2402.03216, section 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.errors import InputError
from onnxpress.format.manifest import EmbeddingSettings, VectorsBeside
from onnxpress.math import normalize
from onnxpress.pipelines.vector_kinds import KINDS, Floats, max_similarity, sparse_of
from onnxpress.samples import Batch

DENSE, SPARSE, TOKENS = KINDS


def kinds_of(settings: EmbeddingSettings) -> tuple[str, ...]:
    """The kinds of vectors that a model gives of a text."""
    return (settings.kind,) if settings.beside is None else (DENSE, SPARSE, TOKENS)


def check_kinds(kinds: Any, settings: EmbeddingSettings) -> None:
    """Refuse kinds of vectors that the model does not give.

    Raises:
        InputError: which.
    """
    possible = kinds_of(settings)
    if not isinstance(kinds, (list, tuple)) or not kinds or any(kind not in possible for kind in kinds):
        raise InputError(f"kinds is {kinds!r:.60}; it must be some of what this model gives: {', '.join(possible)}.")


def vectors_beside(
    batch: Batch, outputs: Mapping[str, NDArray[Any]], settings: VectorsBeside, kinds: Sequence[str], most: int | None
) -> list[dict[str, Any]]:
    """Of each sample the vectors of the kinds that are asked for, but for the dense one. `most`: as of `sparse_of`."""
    values: list[dict[str, Any]] = [{} for _ in batch.samples]
    for index, sample in enumerate(batch.samples):
        span = batch.span(index)
        if SPARSE in kinds:
            weights = outputs[settings.weights][index][span]
            values[index][SPARSE] = largest_weights(sample.arrays["input_ids"], weights, settings, most)
        if TOKENS in kinds:
            values[index][TOKENS] = normalize(outputs[settings.vectors][index][span][1:])
    return values


def largest_weights(
    ids: NDArray[np.int64], weights: Floats, settings: VectorsBeside, most: int | None = None
) -> dict[str, NDArray[Any]]:
    """The largest weight of each token of a text: int64 (tokens,), float32 (tokens,) -> a sparse vector.

    Raises:
        InputError: a token is none of the vocabulary.
    """
    dense = np.zeros(settings.vocabulary, dtype=np.float32)
    np.maximum.at(dense, ids, weights)
    dense[list(settings.unweighted_ids)] = 0
    return sparse_of(dense, most)


def compare_all(
    a: Sequence[Any], b: Sequence[Any], settings: EmbeddingSettings, weights: Mapping[str, float]
) -> Floats:
    """How similar texts are by all their kinds of vectors: the mean of cosine, product of the sparse vectors, and mean
    over one's tokens of the largest product with one of the other's, weighted by kind.

    Raises:
        InputError: a kind is missing, or a weight is of none, or they come to nothing.
    """
    total = sum(weights.values())
    if not weights or set(weights) - set(KINDS) or not total > 0 or any(weight < 0 for weight in weights.values()):
        raise InputError(
            f"weights are {dict(weights)!r:.80}; they must be of {', '.join(KINDS)}, and positive together."
        )
    scores = np.zeros((len(a), len(b)), dtype=np.float32)
    for kind, weight in weights.items():
        try:
            first, second = ([vectors[kind] for vectors in side] for side in (a, b))
        except (KeyError, TypeError):
            raise InputError(f"These are not vectors of the kind {kind!r}: ask for kinds={tuple(weights)!r}.") from None
        scores += weight / total * _MEASURES[kind](first, second, settings)
    return scores


def _dense(a: Sequence[Any], b: Sequence[Any], settings: EmbeddingSettings) -> Floats:
    return KINDS[DENSE].compare(np.stack(a), np.stack(b), settings)


def _sparse(a: Sequence[Any], b: Sequence[Any], settings: EmbeddingSettings) -> Floats:
    """Products of what two sparse vectors have in common: float32 (n, m)."""
    scores = np.zeros((len(a), len(b)), dtype=np.float32)
    for row, first in enumerate(a):
        for column, second in enumerate(b):
            _, ours, theirs = np.intersect1d(
                first["indices"], second["indices"], assume_unique=True, return_indices=True
            )
            scores[row, column] = first["values"][ours] @ second["values"][theirs]
    return scores


def _tokens(a: Sequence[Any], b: Sequence[Any], settings: EmbeddingSettings) -> Floats:
    return max_similarity(a, b, mean=True)


_MEASURES = {DENSE: _dense, SPARSE: _sparse, TOKENS: _tokens}
#: Each kind counts as much, as it does in FlagEmbedding's `compute_score`.
EQUAL = dict.fromkeys(KINDS, 1.0)
