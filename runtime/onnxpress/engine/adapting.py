"""What a graph of another tool gets beside what callers give, and under which names. Knows no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.format.model import Adapter

Array = NDArray[Any]

_IDS, _MASK = "input_ids", "attention_mask"


def adapt_inputs(adapter: Adapter, inputs: Mapping[str, Array], dtypes: Mapping[str, str]) -> dict[str, Array]:
    """The graph's inputs, of those in the manifest's words.

    Args:
        inputs: with token ids int (rows, tokens) among them, where the graph takes what nobody gives.
        dtypes: of the graph's inputs, by its own names.
    """
    feeds = {adapter.names.get(name, name): array for name, array in inputs.items()}
    for name, axes in adapter.ones.items():
        if name not in feeds:
            feeds[name] = np.ones((1, *axes), dtypes.get(name, "float32"))
    ids = inputs.get(_IDS)
    if ids is None:
        return feeds
    for name, axes in adapter.empty.items():
        feeds[name] = np.zeros((len(ids), *axes), dtypes.get(name, "float32"))
    if adapter.positions:
        mask = inputs.get(_MASK, np.ones_like(ids))
        places = np.maximum(np.cumsum(mask, axis=1) - 1, 0)
        feeds[adapter.positions] = places.astype(dtypes.get(adapter.positions, "int64"))
    return feeds


def adapt_outputs(adapter: Adapter, names: Sequence[str]) -> list[str]:
    """The manifest's words for a graph's outputs."""
    ours = {theirs: name for name, theirs in adapter.names.items()}
    return [ours.get(name, name) for name in names]
