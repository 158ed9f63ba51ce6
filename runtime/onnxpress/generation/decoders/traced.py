"""A model over a traced graph, whichever decoder goes with the graph's kind of cache. Reserves nothing."""

from __future__ import annotations

from onnxpress.engine.session import Session
from onnxpress.generation.decoders.graph import DecoderGraph
from onnxpress.generation.decoders.growing import GrowingDecoder
from onnxpress.generation.decoders.rows import RowsDecoder
from onnxpress.generation.pool.blocks import KeptBlocks


class TracedModel:
    """A decoder-only model over a traced graph. For several threads; implements `decoder.DecoderModel`.

    Arguments:
        decoder: the class of its rows.
        limit: the most tokens of a row.
    """

    def __init__(
        self,
        decoder: type[GrowingDecoder] | type[RowsDecoder],
        session: Session,
        graph: DecoderGraph,
        limit: int | None = None,
    ) -> None:
        self._decoder = decoder
        self._session = session
        self._graph = graph
        self._limit = limit

    @property
    def limit(self) -> int | None:
        return self._limit

    def start(
        self, rows: int, expected_tokens: int, store: KeptBlocks | None = None, *, steady: bool = False
    ) -> GrowingDecoder | RowsDecoder:
        """Empty rows; nothing is reserved. One row alone is steady, several are not."""
        return self._decoder(self._session, self._graph, rows, limit=self._limit)
