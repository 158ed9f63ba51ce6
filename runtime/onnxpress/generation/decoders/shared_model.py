"""A decoder-only model whose graph writes keys and values in place: opens rows, and keeps what earlier calls have read.

Knows no search.
"""

from __future__ import annotations

import numpy as np

from onnxpress.engine.session import Session
from onnxpress.generation.decoders.graph import DecoderGraph
from onnxpress.generation.decoders.idle import Idle
from onnxpress.generation.decoders.shared import SharedDecoder
from onnxpress.generation.pool.blocks import KeptBlocks
from onnxpress.generation.pool.cache import Cache
from onnxpress.generation.pool.prefixes import Prefixes

#: Rows of captured steps have room for so many tokens, or twice, four times ...: fewer sizes are captured.
CAPTURED_TOKENS = 256


class SharedModel:
    """A decoder-only model over a graph of the artifact. For several threads; implements `decoder.DecoderModel`.

    What earlier calls have read is kept until the session is closed.

    Arguments:
        limit: the most tokens of a row.
        prefix_bytes: memory for what earlier calls have read; 0: none is kept.
    """

    def __init__(
        self, session: Session, graph: DecoderGraph, limit: int | None = None, prefix_bytes: int = 256 * 2**20
    ) -> None:
        self._session = session
        self._graph = graph
        self._limit = limit
        self.prefixes = Prefixes(prefix_bytes)
        self._idle: Idle[SharedDecoder] = Idle()

    @property
    def limit(self) -> int | None:
        return self._limit

    @property
    def token_bytes(self) -> int:
        """Bytes of the keys and values of a token."""
        numbers = sum(heads * size for heads, size in self._graph.past.values())
        return int(numbers * np.dtype(self._graph.dtype).itemsize)

    def start(
        self, rows: int, expected_tokens: int, store: KeptBlocks | None = None, *, steady: bool = False
    ) -> SharedDecoder:
        """Empty rows, with room for so many tokens at first.

        steady: as of `SharedDecoder`; nothing that was read before is of use then: steps round otherwise than prompts.
        store: where its rows look for what others have read, and leave what they have, in the place of `prefixes`. Not
            on a device that captures.
        """
        self._session.watch(self)
        room = capacity(expected_tokens, self._limit)
        idle = None
        if self._session.captures and not steady:
            room = capacity(max(CAPTURED_TOKENS, 1 << (room - 1).bit_length()), self._limit)
            idle = self._idle
            decoder = idle.take(rows, room)
            if decoder is not None:
                return decoder
        cache = Cache(self._graph.past, rows, room, dtype=self._graph.dtype, device=self._session.device)
        # What is captured is bound to its buffers: those do not become another call's.
        if steady:
            return SharedDecoder(self._session, self._graph, cache, limit=self._limit, steady=True)
        prefixes = Prefixes(0) if self._session.captures or store is not None else self.prefixes
        store = None if self._session.captures else store
        return SharedDecoder(
            self._session, self._graph, cache, limit=self._limit, prefixes=prefixes, store=store, idle=idle
        )

    def disconnect(self, *, apart_alone: bool = False) -> None:
        """The session is being closed: free what earlier calls have read."""
        if not apart_alone:
            self.prefixes.close()
            self._idle.clear()


def capacity(expected_tokens: int, limit: int | None) -> int:
    """Tokens to make room for."""
    wanted = max(expected_tokens, 1)
    return wanted if limit is None else min(wanted, limit)
