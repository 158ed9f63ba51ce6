"""Pure functions on arrays: softmax, sigmoid, pooling, normalization, similarity, top-k.

All take and return numpy arrays and keep no state. They know nothing of tasks, tokens or sessions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.errors import InputError

Floats = NDArray[Any]  # float32; numpy's stubs lose the dtype in most arithmetic
Mask = NDArray[np.bool_]
Positions = NDArray[Any]  # integers


def softmax(x: NDArray[Any], axis: int = -1) -> NDArray[Any]:
    """exp(x) over its sum along `axis`, shifted by the maximum so that nothing overflows. Same shape and dtype."""
    exponents = np.exp(x - x.max(axis=axis, keepdims=True))
    return np.asarray(exponents / exponents.sum(axis=axis, keepdims=True))


def sigmoid(x: NDArray[Any]) -> NDArray[Any]:
    """1 / (1 + exp(-x)), without overflow for large negative values. Same shape and dtype."""
    small = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1 / (1 + small), small / (1 + small)), dtype=x.dtype)


def top_k(scores: NDArray[Any], k: int) -> NDArray[np.intp]:
    """Indices of the k largest of `scores` (n,), best first; equal scores keep their order."""
    k = min(k, scores.shape[0])
    if k <= 0:
        return np.empty(0, dtype=np.intp)
    if k == scores.shape[0]:
        return np.argsort(-scores, kind="stable")
    threshold = np.partition(scores, -k)[-k]
    candidates = np.flatnonzero(scores >= threshold)
    order = np.argsort(-scores[candidates], kind="stable")
    return candidates[order[:k]]


def normalize(x: Floats) -> Floats:
    """Each row of `x` (..., dim) divided by its Euclidean norm, floored at 1e-12 as torch does."""
    norms = np.sqrt(np.einsum("...j,...j->...", x, x))
    return np.asarray(x / np.maximum(norms, 1e-12)[..., None], dtype=np.float32)


def pool(hidden: Floats, attention: Mask, modes: Sequence[str], skip: int = 0) -> Floats:
    """Sentence vectors from token vectors, the modes concatenated in the order given.

    hidden: float32 (batch, sequence, dim); attention: bool (batch, sequence), true for real tokens; `skip`: leading
    real tokens (a prompt) that are left out. Returns float32 (batch, dim * len(modes)). Formulas:
    sentence-transformers' Pooling module; positions of "weightedmean" count from the first real token.

    Raises:
        InputError: a mode that does not exist.
    """
    unknown = [mode for mode in modes if mode not in POOLING]
    if unknown or not modes:
        raise InputError(f"pooling mode {unknown or modes!r} is not one of {', '.join(POOLING)}.")
    positions = np.cumsum(attention, axis=1)
    mask = attention & (positions > skip) if skip else attention
    weights = mask.astype(np.float32)
    pooled = [POOLING[mode](hidden, weights, positions) for mode in modes]
    return pooled[0] if len(pooled) == 1 else np.concatenate(pooled, axis=1)


def _weighted_sum(hidden: Floats, weights: Floats) -> Floats:
    """Sum over the sequence as one matrix product per row: no (batch, sequence, dim) copy is made.

    A row's product has its own tokens alone. Padding adds zeros, but the order in which a product is summed depends on
    its length: with the padding a row's last bits would depend on its neighbours.
    """
    sums = np.zeros((len(hidden), hidden.shape[2]), np.result_type(hidden, weights))
    for total, states, row in zip(sums, hidden, weights, strict=True):
        tokens = np.flatnonzero(row)
        if len(tokens):
            places = slice(tokens[0], tokens[-1] + 1)
            total[:] = np.matmul(row[None, places], states[places])[0]
    return sums


def _cls(hidden: Floats, weights: Floats, positions: Positions) -> Floats:
    return np.asarray(hidden[np.arange(len(hidden)), weights.argmax(axis=1)])


def _last(hidden: Floats, weights: Floats, positions: Positions) -> Floats:
    last = weights.shape[1] - 1 - weights[:, ::-1].argmax(axis=1)
    rows = np.arange(len(hidden))
    return np.asarray(hidden[rows, last] * weights[rows, last, None])


def _max(hidden: Floats, weights: Floats, positions: Positions) -> Floats:
    return np.asarray(np.where(weights[:, :, None] > 0, hidden, np.float32(-np.inf)).max(axis=1))


def _mean(hidden: Floats, weights: Floats, positions: Positions) -> Floats:
    return _weighted_sum(hidden, weights) / _total(weights)


def _mean_sqrt(hidden: Floats, weights: Floats, positions: Positions) -> Floats:
    return _weighted_sum(hidden, weights) / np.sqrt(_total(weights))


def _weighted_mean(hidden: Floats, weights: Floats, positions: Positions) -> Floats:
    return _mean(hidden, weights * positions.astype(np.float32), positions)


def _total(weights: Floats) -> Floats:
    return np.asarray(np.maximum(weights.sum(axis=1, dtype=np.float32), np.float32(1e-9))[:, None])


POOLING: Mapping[str, Callable[[Floats, Floats, Positions], Floats]] = {
    "cls": _cls,
    "max": _max,
    "mean": _mean,
    "mean_sqrt_len_tokens": _mean_sqrt,
    "weightedmean": _weighted_mean,
    "lasttoken": _last,
}


def _cosine(a: Floats, b: Floats) -> Floats:
    return np.asarray(normalize(a) @ normalize(b).T)


def _dot(a: Floats, b: Floats) -> Floats:
    return np.asarray(a @ b.T)


def _euclidean(a: Floats, b: Floats) -> Floats:
    """Row by row: the short formula by matrix product loses all digits between vectors that are nearly equal."""
    return -np.stack([np.sqrt(np.square(b - row).sum(axis=1)) for row in a]) if len(a) else np.empty((0, len(b)), "f4")


def _manhattan(a: Floats, b: Floats) -> Floats:
    return -np.stack([np.abs(b - row).sum(axis=1) for row in a]) if len(a) else np.empty((0, len(b)), "f4")


#: sentence-transformers' measures: float32 (n, dim) and (m, dim) -> float32 (n, m), larger for more similar vectors.
SIMILARITIES: Mapping[str, Callable[[Floats, Floats], Floats]] = {
    "cosine": _cosine,
    "dot": _dot,
    "euclidean": _euclidean,
    "manhattan": _manhattan,
}
