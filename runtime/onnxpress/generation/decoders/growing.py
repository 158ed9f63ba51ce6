"""Rows of tokens over a traced graph, whose keys and values grow by concatenation.

Rows of different lengths are padded on the left, and the mask hides the padding; a graph without a mask reads such rows
one by one. Every run returns new arrays, which stay on the device as long as all rows go on together: exact, not fast.
Knows no search.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.engine.binding import run_to_buffers
from onnxpress.engine.buffers import Buffer, of_array
from onnxpress.engine.session import Session
from onnxpress.errors import InputError
from onnxpress.generation.decoder import Ids, Logits
from onnxpress.generation.decoders.checks import check_keep, check_length, check_tokens
from onnxpress.generation.decoders.graph import USE_CACHE, DecoderGraph, present
from onnxpress.generation.decoders.text_arrays import Texts
from onnxpress.generation.pool.moves import check_sources

Past = dict[str, Buffer]


class GrowingDecoder:
    """Rows of tokens. Implements `decoder.Decoder`.

    Arguments:
        texts: what an encoder made of the texts that the rows are about.
    """

    def __init__(
        self,
        session: Session,
        graph: DecoderGraph,
        rows: int,
        *,
        limit: int | None = None,
        texts: Texts | None = None,
    ) -> None:
        self._session = session
        self._graph = graph
        self._limit = limit
        self._texts = texts
        self._lengths = [0] * rows
        #: float32 (rows, heads, longest, size); the tokens of a row are the last ones.
        self._past: Past = {
            name: of_array(np.zeros((rows, heads, 0, size), graph.dtype)) for name, (heads, size) in graph.past.items()
        }

    @property
    def lengths(self) -> Sequence[int]:
        return self._lengths

    @property
    def limit(self) -> int | None:
        return self._limit

    @property
    def admits(self) -> bool:
        return self._texts is None

    @property
    def steps_uneven(self) -> bool:
        """Padding is hidden by a mask; where a graph has none, rows of different lengths are read one by one."""
        return True

    @property
    def log_normalizers(self) -> None:
        """A traced graph does not return them."""

    def admit(self) -> int:
        """Add an empty row after the others; its slot.

        Raises:
            InputError: after an encoder, which has read no text for it.
        """
        if self._texts is not None:
            raise InputError("A row after an encoder comes with its text: open another decoder for it.")
        self._lengths.append(0)
        self._past = {
            name: of_array(np.concatenate([array, np.zeros_like(array, shape=(1, *array.shape[1:]))]))
            for name, array in _on_host(self._past).items()
        }
        return len(self._lengths) - 1

    def recall(self, row: int, ids: Ids) -> None:
        """Nothing is kept of what was read before."""

    def mark_prompt(self, row: int, tokens: int) -> None:
        """What was written is read as a prompt is."""

    def prefill(self, row: int, ids: Sequence[int] | Ids, keep: int = 1) -> Logits:
        """Append tokens to one row; float32 (keep, vocabulary) for the last `keep` of them.

        Raises:
            InputError: there are too few or too many tokens, or one is not of the vocabulary.
        """
        tokens = np.asarray(ids, np.int64)
        check_keep(len(tokens), keep)
        length, rows = self._lengths[row], len(self._lengths)
        before = self._past if rows == 1 else _row(self._past, row, length)
        texts = {} if self._texts is None else self._texts.of_row(row, rows)
        scores, after = self._run(tokens[None], [length], before, texts, keep)
        self._lengths[row] += len(tokens)
        if rows == 1:
            self._past = after
        else:
            longest, read = max(self._lengths), _on_host(after)
            for name, array in _on_host(self._past).items():
                grown = _padded(array, longest)
                grown[row] = _padded(read[name], longest)[0]
                self._past[name] = of_array(grown)
        row_scores: Logits = scores[0].copy()
        return row_scores

    def step(self, ids: Ids, normalizers: bool = False) -> Logits:
        """Append one token to each of the first rows, int64 (rows); float32 (rows, vocabulary).

        Raises:
            InputError: a row is full, a token is not of the vocabulary, or there are more than rows, or, after an
                encoder, fewer.
        """
        rows, count = len(self._lengths), len(ids)
        if not 0 < count <= rows or (self._texts is not None and count != rows):
            raise InputError(f"There are {rows} rows, and {count} tokens.")
        lengths = self._lengths[:count]
        if "attention_mask" not in self._graph.inputs and len(set(lengths)) > 1:
            # Nothing would hide the padding.
            return np.stack([self.prefill(row, ids[row : row + 1])[0] for row in range(count)])
        texts = {} if self._texts is None else self._texts.buffers(rows)
        tokens = np.asarray(ids, np.int64)[:, None]
        if count == rows:
            scores, self._past = self._run(tokens, lengths, self._past, texts, 1)
            self._lengths = [length + 1 for length in lengths]
            return scores[:, 0]
        arrays = _on_host(self._past)
        first = {name: of_array(_last(array[:count], max(lengths))) for name, array in arrays.items()}
        scores, after = self._run(tokens, lengths, first, texts, 1)
        self._lengths[:count] = [length + 1 for length in lengths]
        longest, later = max(self._lengths), max(self._lengths[count:])
        others = {name: _padded(_last(array[count:], later), longest) for name, array in arrays.items()}
        self._past = {
            name: of_array(np.concatenate([_padded(array, longest), others[name]]))
            for name, array in _on_host(after).items()
        }
        return scores[:, 0]

    def truncate(self, row: int, length: int) -> None:
        """Forget a row's tokens from `length` on.

        Raises:
            InputError: the row has fewer.
        """
        before = self._lengths[row]
        if not 0 <= length <= before:
            raise InputError(f"Row {row} has {before} tokens; it cannot be cut to {length}.")
        self._lengths[row] = length
        arrays = {name: buffer.read() for name, buffer in self._past.items()}
        for array in arrays.values():
            total = array.shape[2]
            array[row, :, total - length :] = array[row, :, total - before : total - before + length].copy()
            array[row, :, : total - length] = 0
        self._hold(arrays)

    def select(self, sources: Sequence[int]) -> None:
        """Row i becomes what row sources[i] was; there are len(sources) rows then.

        Raises:
            InputError: there is no such row, or rows of a text would not stand side by side.
        """
        check_sources(sources, len(self._lengths))
        if self._texts is not None:
            self._texts.select(sources, len(self._lengths))
        self._lengths = [self._lengths[source] for source in sources]
        self._hold({name: array[list(sources)] for name, array in _on_host(self._past).items()})

    def close(self) -> None:
        """Free the memory."""
        self._lengths, self._past = [], {}

    def _hold(self, arrays: Mapping[str, NDArray[np.float32]]) -> None:
        """Take these for the past, without the padding that every row has."""
        longest = max(self._lengths)
        self._past = {name: of_array(_last(array, longest)) for name, array in arrays.items()}

    def _run(
        self, ids: Ids, lengths: Sequence[int], past: Past, texts: Mapping[str, Buffer], keep: int
    ) -> tuple[Logits, Past]:
        """Append int64 (rows, sequence) to rows of these lengths; the last `keep` scores of each, and the new past."""
        check_tokens(ids, self._graph.vocabulary)
        count = ids.shape[1]
        longest = max(lengths)
        check_length(longest + count, self._limit)
        each = np.asarray(lengths, np.int64)[:, None]
        inputs: dict[str, NDArray[Any]] = {
            "input_ids": ids,
            "position_ids": each + np.arange(count),
            "attention_mask": (np.arange(longest + count) >= longest - each).astype(np.int64),
            "logits_to_keep": np.arange(count - keep, count),
            "cache_position": np.arange(longest, longest + count),
            USE_CACHE: np.ones(1, bool),  # of an empty past, too
        }
        taken = {name: array for name, array in inputs.items() if name in self._graph.inputs}
        outputs = run_to_buffers(self._session, {**taken, **past, **texts}, self._graph.name)
        logits = outputs["logits"]
        scores: Logits = logits.array if logits.on_host else logits.read()
        return scores[:, -keep:], {name: outputs[present(name)] for name in past}


def _on_host(past: Past) -> dict[str, NDArray[np.float32]]:
    """What the buffers hold; of those on a device, copies."""
    return {name: buffer.array if buffer.on_host else buffer.read() for name, buffer in past.items()}


def _row(past: Past, row: int, length: int) -> Past:
    """One row's keys and values, without padding."""
    return {name: of_array(_last(array[row : row + 1], length)) for name, array in _on_host(past).items()}


def _last(array: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """The last `count` positions of (rows, heads, positions, size)."""
    return np.ascontiguousarray(array[:, :, array.shape[2] - count :])


def _padded(array: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """(rows, heads, count, size) with zeros on the left. A copy."""
    rows, heads, length, size = array.shape
    grown = np.zeros((rows, heads, count, size), array.dtype)
    grown[:, :, count - length :] = array
    return grown
