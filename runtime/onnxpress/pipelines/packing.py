"""Vectors as bits, as sentence-transformers packs them (`precision="binary"`)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.errors import InputError


def packed(vectors: NDArray[Any], precision: str) -> NDArray[Any]:
    """Vectors (..., dimensions) as they are, or a bit for each number above 0: int8 or uint8 (..., dimensions / 8).

    Raises:
        InputError: no such precision, or one that needs ranges of other vectors.
    """
    if precision == "float32":
        return vectors
    if precision not in ("binary", "ubinary"):
        raise InputError(
            f'precision={precision!r}: of vectors there are "float32", "binary" and "ubinary". Integers need the '
            "ranges of many vectors: sentence_transformers.quantize_embeddings makes them of an array. The model's own "
            "precision is an argument of onnxpress.pipeline."
        )
    bits = np.packbits(vectors > 0, axis=-1)
    return bits if precision == "ubinary" else (bits.astype(np.int16) - 128).astype(np.int8)
