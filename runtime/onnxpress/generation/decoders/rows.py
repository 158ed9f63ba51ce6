"""Rows of tokens over a graph that takes one token after a state, or that keeps nothing and takes a row whole.

A state cannot be cut, as keys and values can: a row that forgets tokens is read again from its first one. Rows whose
buffers have one shape are read together, others one after another. What a run returns stays on the device and is what
the next one takes, as long as the same rows go on together. Exact, not fast. Knows no search.
"""

from __future__ import annotations

import sys
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.engine.binding import run_to_buffers
from onnxpress.engine.buffers import Buffer, allocate, of_array
from onnxpress.engine.session import Session
from onnxpress.errors import InputError
from onnxpress.generation.decoder import Ids, Logits
from onnxpress.generation.decoders.checks import check_keep, check_length, check_tokens
from onnxpress.generation.decoders.graph import OF_PROMPT, DecoderGraph, present
from onnxpress.generation.pool.moves import check_sources

Past = Mapping[str, Buffer]


@dataclass(slots=True)
class _Row:
    """`ids`: its tokens, of which the first `prompt` were not written; `past`: what the graph returned after the first
    `read` of them, for this row, which is number `place`, and those that were read with it."""

    ids: list[int] = field(default_factory=list)
    past: Past = field(default_factory=dict)
    place: int = 0
    read: int = 0
    prompt: int = sys.maxsize


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

    def mark_prompt(self, row: int, tokens: int, owner: Hashable = 0) -> None:
        """Tell how many of a row's first tokens are its prompt; those that were read as written ones are read again."""
        marked = self._rows[row]
        if OF_PROMPT in self._graph.inputs and min(marked.read, tokens) > marked.prompt:
            marked.past, marked.place, marked.read = self._nothing(), 0, 0
        marked.prompt = tokens

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
            shapes = tuple(buffer.shape[1:] for buffer in row.past.values())
            read = row.read if "attention_mask" in self._graph.inputs else None
            alike.setdefault((len(row.ids) - row.read, read, shapes), []).append(number)
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
            self._rows[row] = _Row(tokens[:length], self._nothing(), prompt=self._rows[row].prompt)
        else:
            del tokens[length:]

    def select(self, sources: Sequence[int]) -> None:
        """Row i becomes what row sources[i] was; there are len(sources) rows then.

        Raises:
            InputError: there is no such row.
        """
        check_sources(sources, len(self._rows))
        rows = [self._rows[source] for source in sources]
        self._rows = [replace(row, ids=list(row.ids)) for row in rows]

    def close(self) -> None:
        """Free the memory."""
        self._rows = []

    def _nothing(self) -> Past:
        """What a row without tokens has: no keys, and states of zeros."""
        graph = self._graph
        shapes = {**{name: (heads, 0, size) for name, (heads, size) in graph.past.items()}, **graph.states}
        return {name: of_array(np.zeros((1, *shape), graph.dtype)) for name, shape in shapes.items()}

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
        past = _together(rows, self._session.device)
        places, prompts = (np.array([[row.read] for row in rows]), np.array([[row.prompt] for row in rows]))
        for number in range(ids.shape[1]):
            arrays: dict[str, NDArray[Any]] = {
                "input_ids": ids[:, number : number + 1],
                "position_ids": places + number,
                OF_PROMPT: (places + number < prompts).astype(np.int64),
                "attention_mask": np.ones((len(rows), rows[0].read + number + 1), np.int64),
                **{name: np.ones(axes, np.int64) for name, axes in self._graph.counts.items()},
            }
            taken = {name: array for name, array in arrays.items() if name in self._graph.inputs}
            outputs = run_to_buffers(self._session, {**taken, **past}, self._graph.name)
            past = {name: outputs[present(name)] for name in past}
            if number >= ids.shape[1] - keep:
                logits_buffer = outputs["logits"]
                array = logits_buffer.array if logits_buffer.on_host else logits_buffer.read()
                scores.append(array.astype(np.float32, copy=False))
        for place, row in enumerate(rows):
            row.past, row.place, row.read = past, place, len(row.ids)
        return np.concatenate(scores, 1)


def _together(rows: Sequence[_Row], device: str) -> Past:
    """What some rows have, as one buffer for each name: theirs, where they stand side by side in it, else copies."""
    first = rows[0]
    count = len(rows)
    if all(row.past is first.past and row.place == first.place + number for number, row in enumerate(rows)):
        if all(count == buffer.shape[0] for buffer in first.past.values()):
            return first.past
        return {name: buffer.rows(first.place, first.place + count) for name, buffer in first.past.items()}
    past = {name: allocate((count, *buffer.shape[1:]), buffer.dtype, device) for name, buffer in first.past.items()}
    for name, buffer in past.items():
        for number, row in enumerate(rows):
            buffer.at(number).copy_from(row.past[name].at(row.place))
    return past
