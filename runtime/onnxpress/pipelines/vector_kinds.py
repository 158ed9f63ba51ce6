"""What the vectors of a text are: one of numbers, a sparse one over the vocabulary, or one for each token.

Of each kind: what is kept of a batch's outputs, what the result is, and how results compare.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.errors import InputError
from onnxpress.format.manifest import EmbeddingSettings
from onnxpress.math import SIMILARITIES

Floats = NDArray[np.float32]

#: Of a text: "indices", int64 (active,), ascending, and "values", float32 (active,).
SparseVector = Mapping[str, NDArray[Any]]

#: The measures of sets of vectors: the best product for each vector of the first, summed or averaged.
MAXSIM, MEAN_MAXSIM = "maxsim", "meanmaxsim"


def sparse_of(vector: Floats, most: int | None = None) -> dict[str, NDArray[Any]]:
    """The numbers of a vector that are not 0, or the `most` largest of them."""
    indices = np.flatnonzero(vector)
    if most is not None and len(indices) > most:
        indices = np.sort(indices[np.argsort(-vector[indices], kind="stable")[:most]])
    return {"indices": indices.astype(np.int64), "values": vector[indices].astype(np.float32)}


def dense_of(vector: Any, size: int) -> Floats:
    """A sparse vector, or one that is dense already, with all its numbers: float32 (size,).

    Raises:
        InputError: it is none, or of another size.
    """
    if isinstance(vector, Mapping):
        dense = np.zeros(size, dtype=np.float32)
        try:
            dense[np.asarray(vector["indices"], dtype=np.int64)] = vector["values"]
        except (KeyError, IndexError, TypeError, ValueError):
            raise InputError(f"{vector!r:.60} is no sparse vector of {size} numbers: indices and values.") from None
        return dense
    array = np.asarray(vector, dtype=np.float32)
    if array.shape != (size,):
        raise InputError(f"Expected a sparse vector, or {size} numbers, got an array of shape {array.shape}.")
    return array


def strongest(vector: SparseVector, most: int | None) -> list[tuple[int, float]]:
    """The indices of a sparse vector and their weights, the largest first."""
    order = np.argsort(-vector["values"], kind="stable")[:most]
    return [(int(vector["indices"][place]), float(vector["values"][place])) for place in order]


def max_similarity(queries: Sequence[Floats], documents: Sequence[Floats], *, mean: bool) -> Floats:
    """float32 (queries, documents): for each vector of a query the largest product with one of the document's; the sum
    over those of the query, or their mean. 0 where a text has no vectors. Each float32 (tokens, dimensions)."""
    scores = np.zeros((len(queries), len(documents)), dtype=np.float32)
    for column, document in enumerate(documents):
        for row, query in enumerate(queries):
            if len(query) and len(document):
                best = (query @ document.T).max(axis=1)
                scores[row, column] = best.mean() if mean else best.sum()
    return scores


@dataclass(frozen=True, slots=True)
class VectorKind:
    """One kind. `compare`: two sequences of results -> float32 (n, m), larger for more similar texts; `single`: whether
    what a caller passes is one result, not several."""

    compare: Callable[[Any, Any, EmbeddingSettings], Floats]
    single: Callable[[Any], bool]


def compare(kind: VectorKind, a: Any, b: Any, settings: EmbeddingSettings) -> Floats:
    """Compare results, or sequences of them, of one kind.

    Raises:
        InputError: they are no results of this kind.
    """
    first, second = ([side] if kind.single(side) else side for side in (a, b))
    return kind.compare(first, second, settings)


def _dense(a: Any, b: Any, settings: EmbeddingSettings) -> Floats:
    try:
        first, second = (np.atleast_2d(np.asarray(side, dtype=np.float32)) for side in (a, b))
    except (TypeError, ValueError):
        raise InputError(
            f"similarity compares vectors, not {a!r:.40} and {b!r:.40}: the pipeline makes them of texts."
        ) from None
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise InputError(f"Expected vectors of one size, got arrays of shape {np.shape(a)} and {np.shape(b)}.")
    return SIMILARITIES[settings.similarity](first, second)


def _sparse(a: Any, b: Any, settings: EmbeddingSettings) -> Floats:
    first, second = (np.stack([dense_of(vector, settings.dimensions) for vector in _listed(side)]) for side in (a, b))
    return SIMILARITIES[settings.similarity](first, second)


def _tokens(a: Any, b: Any, settings: EmbeddingSettings) -> Floats:
    first, second = ([_set_of(vectors) for vectors in _listed(side)] for side in (a, b))
    if len({vectors.shape[1] for vectors in chain(first, second)}) > 1:
        raise InputError("Expected vectors of one size, got several: they are of different models.")
    return max_similarity(first, second, mean=settings.similarity == MEAN_MAXSIM)


def _set_of(vectors: Any) -> Floats:
    array = np.asarray(vectors, dtype=np.float32)
    if array.ndim != 2:
        raise InputError(f"Expected vectors of tokens (tokens, dimensions), got an array of shape {array.shape}.")
    return array


def _listed(side: Any) -> Sequence[Any]:
    if isinstance(side, (str, bytes)) or not isinstance(side, Iterable):
        raise InputError(f"similarity compares vectors, not {side!r:.40}: the pipeline makes them of texts.")
    return list(side)


def _is_sparse_one(value: Any) -> bool:
    return isinstance(value, Mapping) or getattr(value, "ndim", None) == 1


KINDS: Mapping[str, VectorKind] = MappingProxyType(
    {
        "dense": VectorKind(_dense, lambda value: False),  # which takes one as well as several
        "sparse": VectorKind(_sparse, _is_sparse_one),
        "tokens": VectorKind(_tokens, lambda value: getattr(value, "ndim", None) == 2),
    }
)
