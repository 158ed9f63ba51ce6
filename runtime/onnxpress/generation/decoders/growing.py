"""Rows of tokens over a traced graph, whose keys and values grow by concatenation.

Rows of different lengths are padded, and the mask hides the padding; a graph without a mask reads such rows one by one.
Every run returns new arrays, which stay on the device as long as all rows go on together: exact, not fast. Knows no
search.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.engine.binding import run_to_buffers
from onnxpress.engine.buffers import Buffer, of_array
from onnxpress.engine.session import Session
from onnxpress.errors import InputError
from onnxpress.generation.decoder import Ids, Logits
from onnxpress.generation.decoders.checks import check_keep, check_length, check_tokens
from onnxpress.generation.decoders.forms import USUAL
from onnxpress.generation.decoders.graph import USE_CACHE, DecoderGraph, present
from onnxpress.generation.decoders.padding import Past, PastPadding, on_host
from onnxpress.generation.decoders.text_arrays import Texts
from onnxpress.generation.pool.moves import check_sources


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
        self._padding = PastPadding(graph.right)
        #: Floats (rows, heads, longest, size).
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
            for name, array in on_host(self._past).items()
        }
        return len(self._lengths) - 1

    def recall(self, row: int, ids: Ids) -> None:
        """Nothing is kept of what was read before."""

    def mark_prompt(self, row: int, tokens: int, owner: Hashable = 0) -> None:
        """What was written is read as a prompt is."""

    def prefill(self, row: int, ids: Sequence[int] | Ids, keep: int = 1) -> Logits:
        """Append tokens to one row; float32 (keep, vocabulary) for the last `keep` of them.

        Raises:
            InputError: there are too few or too many tokens, or one is not of the vocabulary.
        """
        tokens = np.asarray(ids, np.int64)
        check_keep(len(tokens), keep)
        length, rows = self._lengths[row], len(self._lengths)
        past = self._past if rows == 1 else self._padding.row(self._past, row, length)
        texts = {} if self._texts is None else self._texts.of_row(row, rows)
        scores, start = [], 0
        for stop in self._ends(length, len(tokens)):
            wanted = min(stop - start, keep - (len(tokens) - stop))
            part, past = self._run(tokens[None, start:stop], [length + start], past, texts, max(wanted, 1))
            scores.append(part[0, len(part[0]) - max(wanted, 0) :])
            start = stop
        self._lengths[row] += len(tokens)
        if rows == 1:
            self._past = past
        else:
            longest, read = max(self._lengths), on_host(past)
            for name, array in on_host(self._past).items():
                grown = self._padding.padded(array, longest)
                grown[row] = self._padding.padded(read[name], longest)[0]
                self._past[name] = of_array(grown)
        return np.concatenate(scores)

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
        arrays, padding = on_host(self._past), self._padding
        first = {name: of_array(padding.cut(array[:count], max(lengths))) for name, array in arrays.items()}
        scores, after = self._run(tokens, lengths, first, texts, 1)
        self._lengths[:count] = [length + 1 for length in lengths]
        longest, later = max(self._lengths), max(self._lengths[count:])
        others = {name: padding.padded(padding.cut(array[count:], later), longest) for name, array in arrays.items()}
        self._past = {
            name: of_array(np.concatenate([padding.padded(array, longest), others[name]]))
            for name, array in on_host(after).items()
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
            self._padding.shorten(array, row, before, length)
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
        self._hold({name: array[list(sources)] for name, array in on_host(self._past).items()})

    def close(self) -> None:
        """Free the memory."""
        self._lengths, self._past = [], {}

    def _hold(self, arrays: Mapping[str, NDArray[np.float32]]) -> None:
        """Take these for the past, without the padding that every row has."""
        longest = max(self._lengths)
        self._past = {name: of_array(self._padding.cut(array, longest)) for name, array in arrays.items()}

    def _ends(self, length: int, count: int) -> Sequence[int]:
        """Where runs end that read `count` tokens after `length` others: all of them at once, if the graph can."""
        if not self._graph.single:
            return [count]
        begins = length == 0 and (self._graph.first is not None or USE_CACHE in self._graph.inputs)
        return [count] if begins else range(1, count + 1)

    def _run(
        self, ids: Ids, lengths: Sequence[int], past: Past, texts: Mapping[str, Buffer], keep: int
    ) -> tuple[Logits, Past]:
        """Append int64 (rows, sequence) to rows of these lengths; the last `keep` scores of each, and the new past."""
        check_tokens(ids, self._graph.vocabulary)
        count = ids.shape[1]
        longest = max(lengths)
        check_length(longest + count, self._limit)
        first = self._graph.first if longest == 0 else None
        name, wanted = (self._graph.name, self._graph.inputs) if first is None else (first.name, first.inputs)
        each = np.asarray(lengths, np.int64)[:, None]
        inputs: dict[str, NDArray[Any]] = {
            "input_ids": ids,
            "position_ids": each + np.arange(count),
            "attention_mask": self._padding.mask(lengths, count),
            "logits_to_keep": np.arange(count - keep, count),
            "cache_position": np.arange(longest, longest + count),
            # A decoder that has keys of the text has a past, whatever it has written.
            USE_CACHE: np.full(1, bool(self._graph.text) or longest > 0),
            **{name: np.full(axes, keep) for name, axes in self._graph.counts.items()},
        }
        taken = {name: array for name, array in inputs.items() if name in wanted}
        forms = self._graph.forms
        feeds = {} if first is not None else {key: forms.get(key, USUAL).given(value) for key, value in past.items()}
        outputs = run_to_buffers(self._session, {**taken, **feeds, **texts}, name)
        logits = outputs["logits"]
        scores: Logits = (logits.array if logits.on_host else logits.read()).astype(np.float32, copy=False)
        after = {key: forms.get(key, USUAL).returned(outputs[present(key)]) for key in past}
        return scores[:, -keep:], after
