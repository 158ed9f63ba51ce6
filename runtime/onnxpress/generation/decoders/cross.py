"""A model that reads a text or a picture whole, and then writes: an encoder's graph, run once, and a decoder's of rows.

The decoder's keys and values of what was read are the encoder's outputs, read by all rows of the text. Knows no search.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.engine.binding import run_to_buffers
from onnxpress.engine.buffers import Buffer
from onnxpress.engine.session import Session
from onnxpress.errors import InputError
from onnxpress.generation.decoder import Decoder, Ids
from onnxpress.generation.decoders.graph import TEXT_MASK, TEXT_STATES, DecoderGraph, present
from onnxpress.generation.decoders.growing import GrowingDecoder
from onnxpress.generation.decoders.shared import SharedDecoder, capacity
from onnxpress.generation.decoders.text_arrays import Texts
from onnxpress.generation.decoders.text_keys import TextKeys
from onnxpress.generation.pool.cache import Cache


class CrossModel:
    """An encoder and a decoder over two graphs. For several threads; implements `decoder.EncoderDecoderModel`.

    Arguments:
        encoder: the name of its graph.
        growing: whether the decoder's cache is a growing one.
        limit: the most tokens of a row.
        keys: makes keys and values of the encoder's states, where the encoder returns nothing else.
    """

    def __init__(
        self,
        session: Session,
        encoder: str,
        graph: DecoderGraph,
        limit: int | None = None,
        growing: bool = False,
        keys: TextKeys | None = None,
    ) -> None:
        self._session = session
        self._encoder = encoder
        self._graph = graph
        self._limit = limit
        self._growing = growing
        self._keys = keys

    @property
    def limit(self) -> int | None:
        return self._limit

    def encode(self, input_ids: Ids, attention_mask: Ids, expected_tokens: int, **more: NDArray[Any]) -> Decoder:
        """Read texts, int64 (texts, encoder_sequence) both; one empty row for each, which `select` multiplies.

        Raises:
            InputError: the arrays do not fit each other or the graph.
        """
        if input_ids.ndim != 2 or input_ids.shape != attention_mask.shape or not input_ids.size:
            raise InputError(
                f"Texts {input_ids.shape} and their mask {attention_mask.shape} must be (texts, sequence)."
            )
        return self.read(
            {"input_ids": input_ids, "attention_mask": attention_mask, **more}, expected_tokens, attention_mask
        )

    def read(self, inputs: Mapping[str, NDArray[Any]], expected_tokens: int, mask: Ids | None = None) -> Decoder:
        """As `EncoderDecoderModel` says."""
        # What the encoder returns stays where the decoder reads it.
        outputs = run_to_buffers(self._session, inputs, self._encoder)
        first = next(iter(outputs.values()))
        # Keys and values are (texts, heads, encoder_sequence, size), states (texts, encoder_sequence, width).
        rows, places = first.shape[0], first.shape[-2]
        seen = np.ones((rows, places), np.int64) if mask is None else np.ascontiguousarray(mask, np.int64).copy()
        arrays: dict[str, NDArray[Any] | Buffer]
        if self._keys is None:
            arrays = {name: outputs[present(name)] for name in self._graph.text}
        else:
            arrays = dict(self._keys.of(first.read(), seen))
        if TEXT_STATES in self._graph.inputs:
            arrays[TEXT_STATES] = first
        if TEXT_MASK in self._graph.inputs:
            arrays[TEXT_MASK] = seen
        device, dtype = self._session.device, self._graph.dtype
        texts = Texts(arrays, device, by_row=self._keys is not None or TEXT_STATES in arrays)
        if self._growing:
            return GrowingDecoder(self._session, self._graph, rows, limit=self._limit, texts=texts)
        room = capacity(expected_tokens, self._limit)
        cache = Cache(self._graph.past, rows, room, texts=range(rows), dtype=dtype, device=device)
        return SharedDecoder(self._session, self._graph, cache, limit=self._limit, texts=texts)
