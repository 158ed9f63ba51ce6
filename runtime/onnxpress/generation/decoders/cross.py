"""A model that reads a text, a picture or a sound whole, and then writes: an encoder's graph, and a decoder's.

The decoder's keys and values of what was read are the encoder's outputs, read by all rows of the text. Knows no search.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.engine.binding import run_parts, run_to_buffers
from onnxpress.engine.buffers import Buffer
from onnxpress.engine.providers import provider_of
from onnxpress.engine.session import Session
from onnxpress.errors import InputError
from onnxpress.generation.decoder import Decoder, Ids
from onnxpress.generation.decoders.graph import (
    TEXT_MASK,
    TEXT_STATES,
    USE_CACHE,
    WITH_LOG_NORMALIZER,
    DecoderGraph,
    present,
)
from onnxpress.generation.decoders.growing import GrowingDecoder
from onnxpress.generation.decoders.shared import SharedDecoder
from onnxpress.generation.decoders.shared_model import capacity
from onnxpress.generation.decoders.text_arrays import Texts, placed
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

    def read(
        self,
        inputs: Mapping[str, NDArray[Any]],
        expected_tokens: int,
        mask: Ids | None = None,
        at_once: int | None = None,
    ) -> Decoder:
        """As `EncoderDecoderModel` says."""
        return self._opened(self._encoded(inputs, mask, at_once), expected_tokens)

    def perceive(self, inputs: Mapping[str, NDArray[Any]]) -> PerceivedByGraphs:
        """As `EncoderDecoderModel` says."""
        return PerceivedByGraphs(self, self._encoded(inputs, None, at_once=1))

    def _encoded(self, inputs: Mapping[str, NDArray[Any]], mask: Ids | None, at_once: int | None) -> dict[str, Buffer]:
        """What the decoder's graph takes of what an encoder has read."""
        # What the encoder returns stays where the decoder reads it.
        # A processor gains nothing from windows of sound, or from long texts, that it reads together, and what the
        # encoder computes in between is larger than what it returns.
        if at_once is not None and not provider_of(self._session.device).own_memory:
            outputs = run_parts(self._session, inputs, at_once, self._encoder)
        else:
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
        return placed(arrays, self._session.device)

    def _opened(self, arrays: Mapping[str, Buffer], expected_tokens: int, *, shared: bool = False) -> Decoder:
        device, dtype = self._session.device, self._graph.dtype
        texts = Texts(arrays, device, by_row=self._keys is not None or TEXT_STATES in arrays, shared=shared)
        if self._growing:
            return GrowingDecoder(self._session, self._graph, texts.count, limit=self._limit, texts=texts)
        room = capacity(expected_tokens, self._limit)
        cache = Cache(self._graph.past, texts.count, room, texts=range(texts.count), dtype=dtype, device=device)
        return SharedDecoder(self._session, self._graph, cache, limit=self._limit, texts=texts)

    def _follow(self, arrays: Mapping[str, Buffer], ids: Ids, first: int) -> dict[str, NDArray[Any]]:
        """Read int64 (tokens) at once, with an empty past."""
        count, graph = len(ids), self._graph
        known: dict[str, NDArray[Any]] = {
            "input_ids": ids[None],
            "position_ids": np.arange(count, dtype=np.int64)[None],
            "attention_mask": np.ones((1, count), np.int64),
            "seqlens_k": np.array([count - 1], np.int32),
            "total_sequence_length": np.array(count, np.int32),
            "logits_to_keep": np.arange(first, count, dtype=np.int64),
            WITH_LOG_NORMALIZER: np.array(False),
            # Keys of what was read are there, whatever was written.
            USE_CACHE: np.full(1, bool(graph.text)),
        }
        inputs = {name: known[name] for name in graph.inputs if name in known}
        room = 0 if self._growing else count
        inputs |= {name: np.zeros((1, heads, room, size), graph.dtype) for name, (heads, size) in graph.past.items()}
        inputs |= {name: buffer.read() for name, buffer in arrays.items()}
        return self._session.run(inputs, graph.name)


class PerceivedByGraphs:
    """What an encoder has read, which any number of decoders may write about. Implements `decoder.Perceived`."""

    def __init__(self, model: CrossModel, arrays: Mapping[str, Buffer]) -> None:
        self._model = model
        self._arrays = arrays

    def decoder(self, rows: Sequence[int], expected_tokens: int, *, last: bool = False) -> Decoder:
        """As `decoder.Perceived` says."""
        return self._model._opened(self._of_rows(rows), expected_tokens, shared=not last)

    def follow(self, row: int, ids: Sequence[int], first: int) -> dict[str, NDArray[Any]]:
        """As `decoder.Perceived` says."""
        return self._model._follow(self._of_rows([row]), np.array(ids, np.int64), first)

    def keys(self, row: int, layer: int) -> NDArray[np.float32]:
        """As `decoder.Perceived` says."""
        keys: NDArray[np.float32] = self._of_rows([row])[f"past_key_values.{layer}.encoder.key"].read()[0]
        return keys.astype(np.float32, copy=False)

    def _of_rows(self, rows: Sequence[int]) -> dict[str, Buffer]:
        start, stop = rows[0], rows[0] + len(rows)
        if list(rows) == list(range(start, stop)):
            return {name: buffer.rows(start, stop) for name, buffer in self._arrays.items()}
        arrays = {name: buffer.read()[list(rows)] for name, buffer in self._arrays.items()}
        return placed(arrays, self._model._session.device)
