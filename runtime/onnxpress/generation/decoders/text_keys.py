"""Keys and values of texts, where an encoder's graph returns states alone, as in other tools' exports.

The decoder's graph makes them when it reads its first token. They are the same whatever token that is, so that one is
read for them once for each text, and forgotten.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.engine.session import Session
from onnxpress.errors import UnsupportedFormat
from onnxpress.format.manifest import GraphInfo, TensorInfo
from onnxpress.generation.decoders.graph import TEXT_MASK, TEXT_STATES, USE_CACHE, present

Array = NDArray[Any]


class TextKeys:
    """Makes keys and values of texts by a graph that reads a token about their states.

    Arguments:
        graph: its name.
        names: the inputs of the decoder that they are for.
    """

    def __init__(self, session: Session, graph: str, info: GraphInfo, names: tuple[str, ...]) -> None:
        self._session = session
        self._graph = graph
        self._inputs = info.inputs
        self._names = names

    def of(self, states: Array, mask: Array) -> dict[str, Array]:
        """By input of the decoder, (texts, heads, encoder_sequence, size).

        Args:
            states: (texts, encoder_sequence, width), what the encoder returns.
            mask: int64 (texts, encoder_sequence).

        Raises:
            UnsupportedFormat: the graph does not return them.
        """
        feeds = {tensor.name: self._feed(tensor, states, mask) for tensor in self._inputs}
        outputs = self._session.run(feeds, self._graph)
        missing = [present(name) for name in self._names if present(name) not in outputs]
        if missing:
            raise UnsupportedFormat(f"Graph {self._graph!r} does not return {missing[0]}, which the decoder wants.")
        return {name: outputs[present(name)] for name in self._names}

    def _feed(self, tensor: TensorInfo, states: Array, mask: Array) -> Array:
        texts = len(states)
        known = {
            TEXT_STATES: states,
            TEXT_MASK: mask,
            USE_CACHE: np.zeros(1, bool),
            "attention_mask": np.ones((texts, 1), np.int64),
            "cache_position": np.zeros(1, np.int64),
        }
        if tensor.name in known:
            return known[tensor.name]
        if len(tensor.axes) == 4:  # a past of no tokens
            heads, size = (axis if isinstance(axis, int) else 0 for axis in (tensor.axes[1], tensor.axes[3]))
            return np.zeros((texts, heads, 0, size), self._session.input_dtype(tensor.name, self._graph))
        return np.zeros((texts, 1), np.int64)
