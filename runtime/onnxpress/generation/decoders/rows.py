"""Rows of tokens over a graph that takes one token after a state, or that keeps nothing and takes a row whole.

A state cannot be cut, as keys and values can: a row that forgets tokens is read again from its first one. Rows whose
arrays have one shape are read together, others one after another. Exact, not fast. Knows no search.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.engine.session import Session
from onnxpress.errors import InputError
from onnxpress.generation.decoder import Ids, Logits
from onnxpress.generation.decoders.checks import check_keep, check_length, check_tokens
from onnxpress.generation.decoders.graph import DecoderGraph, present
from onnxpress.generation.pool.moves import check_sources


@dataclass(slots=True)
class _Row:
    """`ids`: its tokens; `past`: arrays of axis 0 1, what the graph returned after the first `read` of them."""

    ids: list[int] = field(default_factory=list)
    past: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    read: int = 0


class RowsDecoder:
    """Rows of tokens. Implements `decoder.Decoder`."""

    def __init__(self, session: Session, graph: DecoderGraph, rows: int, *, limit: int | None = None) -> None:
        self._session = session
        self._graph = graph
        self._limit = limit
        self._rows = [_Row(past=self._nothing()) for _ in range(rows)]

    @property
    def lengths(self) -> Sequence[int]:
        return [len(row.ids) for row in self._rows]

    @property
    def limit(self) -> int | None:
        return self._limit

    @property
    def admits(self) -> bool:
        return True

    @property
    def steps_uneven(self) -> bool:
        """Rows that cannot be read together are read one after another."""
        return True

    @property
    def log_normalizers(self) -> None:
        """A traced graph does not return them."""

    def admit(self) -> int:
        """Add an empty row after the others; its slot."""
        self._rows.append(_Row(past=self._nothing()))
        return len(self._rows) - 1

    def recall(self, row: int, ids: Ids) -> None:
        """Nothing is kept of what was read before."""

    def prefill(self, row: int, ids: Sequence[int] | Ids, keep: int = 1) -> Logits:
        """Append tokens to one row; float32 (keep, vocabulary) for the last `keep` of them.

        Raises:
            InputError: there are too few or too many tokens, or one is not of the vocabulary.
        """
        tokens = np.asarray(ids, np.int64)
        check_keep(len(tokens), keep)
        self._append([self._rows[row]], tokens[None])
        scores: Logits = self._read([self._rows[row]], keep)[0]
        return scores

    def step(self, ids: Ids, normalizers: bool = False) -> Logits:
        """Append one token to each of the first rows, int64 (rows); float32 (rows, vocabulary).

        Raises:
            InputError: a row is full, a token is not of the vocabulary, or there are more than rows.
        """
        if not 0 < len(ids) <= len(self._rows):
            raise InputError(f"There are {len(self._rows)} rows, and {len(ids)} tokens.")
        rows = self._rows[: len(ids)]
        self._append(rows, np.asarray(ids, np.int64)[:, None])
        alike: dict[Any, list[int]] = {}
        for number, row in enumerate(rows):
            shapes = tuple(array.shape for array in row.past.values())
            alike.setdefault((len(row.ids) - row.read, shapes), []).append(number)
        scores = np.empty((len(rows), self._graph.vocabulary), np.float32)
        for numbers in alike.values():
            scores[numbers] = self._read([rows[number] for number in numbers], 1)[:, 0]
        return scores

    def truncate(self, row: int, length: int) -> None:
        """Forget a row's tokens from `length` on.

        Raises:
            InputError: the row has fewer.
        """
        tokens = self._rows[row].ids
        if not 0 <= length <= len(tokens):
            raise InputError(f"Row {row} has {len(tokens)} tokens; it cannot be cut to {length}.")
        if length < self._rows[row].read:
            self._rows[row] = _Row(tokens[:length], self._nothing())
        else:
            del tokens[length:]

    def select(self, sources: Sequence[int]) -> None:
        """Row i becomes what row sources[i] was; there are len(sources) rows then.

        Raises:
            InputError: there is no such row.
        """
        check_sources(sources, len(self._rows))
        rows = [self._rows[source] for source in sources]
        self._rows = [_Row(list(row.ids), dict(row.past), row.read) for row in rows]

    def close(self) -> None:
        """Free the memory."""
        self._rows = []

    def _nothing(self) -> dict[str, NDArray[np.float32]]:
        """What a row without tokens has: no keys, and states of zeros."""
        graph = self._graph
        keys = {name: np.zeros((1, heads, 0, size), graph.dtype) for name, (heads, size) in graph.past.items()}
        return {**keys, **{name: np.zeros((1, *shape), graph.dtype) for name, shape in graph.states.items()}}

    def _append(self, rows: Sequence[_Row], ids: Ids) -> None:
        """Note int64 (rows, tokens)."""
        check_tokens(ids, self._graph.vocabulary)
        check_length(max(len(row.ids) for row in rows) + ids.shape[1], self._limit)
        for row, tokens in zip(rows, ids.tolist(), strict=True):
            row.ids += tokens

    def _read(self, rows: Sequence[_Row], keep: int) -> Logits:
        """Read what is not read yet, as many tokens of each row; the last scores, float32 (rows, keep, vocabulary)."""
        ids = np.array([row.ids[row.read :] for row in rows], np.int64)
        if not rows[0].past:
            inputs = {"input_ids": ids, "logits_to_keep": np.arange(ids.shape[1] - keep, ids.shape[1])}
            logits: Logits = self._session.run(inputs, self._graph.name)["logits"]
            return logits[:, -keep:].copy()
        scores = []
        past = rows[0].past
        if len(rows) > 1:
            past = {name: np.concatenate([row.past[name] for row in rows]) for name in past}
        places = np.array([[row.read] for row in rows])
        for number in range(ids.shape[1]):
            arrays = {"input_ids": ids[:, number : number + 1], "position_ids": places + number}
            taken = {name: array for name, array in arrays.items() if name in self._graph.inputs}
            outputs = self._session.run({**taken, **past}, self._graph.name)
            past = {name: outputs[present(name)] for name in past}
            if number >= ids.shape[1] - keep:
                scores.append(outputs["logits"])
        for place, row in enumerate(rows):
            row.read = len(row.ids)
            row.past = {name: array[place : place + 1] for name, array in past.items()}
        return np.concatenate(scores, 1)
