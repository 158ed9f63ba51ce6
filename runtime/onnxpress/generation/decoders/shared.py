"""Rows of tokens over a graph with fused attention that writes keys and values in place.

Everything is bound once; a step rewrites a few integers and runs the graph. A prompt is read row by row, in chunks;
what it has in common with what another row, or an earlier call, has read is not read again. Knows no search.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.engine.binding import Binding
from onnxpress.engine.session import Session
from onnxpress.errors import InputError
from onnxpress.generation.decoder import Ids, Logits
from onnxpress.generation.decoders.graph import LOG_NORMALIZER, WITH_LOG_NORMALIZER, DecoderGraph, present
from onnxpress.generation.decoders.text_arrays import Texts
from onnxpress.generation.pool.cache import Cache, common_prefix
from onnxpress.generation.pool.moves import check_sources
from onnxpress.generation.pool.prefixes import LEAST_TOKENS, Prefixes

#: Tokens of a prompt that are read in one run: memory for activations is bounded by it. (Measured with 8 layers of
#: Qwen2-0.5B in q4: 128, 256 and 512 are equally fast within 3 %, and take about 30, 70 and 145 MB.)
CHUNK_TOKENS = 256


class SharedModel:
    """A decoder-only model over a graph of the artifact. For several threads; implements `decoder.Model`.

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

    @property
    def limit(self) -> int | None:
        return self._limit

    def start(self, rows: int, expected_tokens: int) -> SharedDecoder:
        """Empty rows, with room for so many tokens at first."""
        cache = Cache(self._graph.past, rows, capacity(expected_tokens, self._limit), dtype=self._graph.dtype)
        return SharedDecoder(self._session, self._graph, cache, limit=self._limit, prefixes=self.prefixes)


def capacity(expected_tokens: int, limit: int | None) -> int:
    """Tokens to make room for."""
    wanted = max(expected_tokens, 1)
    return wanted if limit is None else min(wanted, limit)


class SharedDecoder:
    """Rows of tokens. Implements `decoder.Decoder`.

    Arguments:
        cache: empty rows.
        texts: what an encoder made of the texts that the rows are about.
        prefixes: what earlier calls have read; None: neither that nor what other rows have read is of use.
    """

    def __init__(
        self,
        session: Session,
        graph: DecoderGraph,
        cache: Cache,
        *,
        limit: int | None = None,
        texts: Texts | None = None,
        prefixes: Prefixes | None = None,
    ) -> None:
        self._session = session
        self._graph = graph
        self._cache = cache
        self._limit = limit
        self._texts = texts
        self._prefixes = prefixes
        self._bindings: dict[int | None, Binding] = {}  # by row; None: of every row
        self._bound_version = -1
        self._inputs: dict[str, NDArray[Any]] = {}  # of a step
        self._outputs: dict[str, NDArray[np.float32]] = {}  # of a step
        #: Tokens of prompts that were not read, because others had read them.
        self.reused_tokens = 0

    @property
    def lengths(self) -> Sequence[int]:
        return self._cache.lengths

    @property
    def limit(self) -> int | None:
        return self._limit

    @property
    def log_normalizers(self) -> Logits | None:
        """float32 (rows): of what the last step returned; None: it was not asked for, or the graph has none."""
        told = LOG_NORMALIZER in self._outputs and self._inputs[WITH_LOG_NORMALIZER]
        return self._outputs[LOG_NORMALIZER][:, 0, 0] if told else None

    def prefill(self, row: int, ids: Sequence[int] | Ids, keep: int = 1) -> Logits:
        """Append tokens to one row; float32 (keep, vocabulary) for the last `keep` of them.

        Raises:
            InputError: there are too few or too many tokens, or one is not of the vocabulary.
        """
        tokens = np.ascontiguousarray(ids, np.int64)
        if not 1 <= keep <= len(tokens):
            raise InputError(f"{len(tokens)} tokens to read, and the scores of {keep} are asked for.")
        self._check(tokens)
        done = self._reuse(row, tokens[: len(tokens) - keep])
        self.reused_tokens += done
        self._reserve(self._cache.lengths[row] + len(tokens) - done)
        logits = np.empty((keep, self._graph.vocabulary), np.float32)
        first = len(tokens) - keep
        for start in range(done, len(tokens), CHUNK_TOKENS):
            stop = min(start + CHUNK_TOKENS, len(tokens))
            wanted = max(first - start, 0)
            if wanted < stop - start:
                scores = logits[start + wanted - first : stop - first]
                self._read(row, tokens[start:stop], wanted, scores)
            else:  # a graph gives one at least; the first of those that are wanted overwrites it
                self._read(row, tokens[start:stop], stop - start - 1, logits[:1])
        return logits

    def step(self, ids: Ids, normalizers: bool = False) -> Logits:
        """Append one token to every row, int64 (rows); float32 (rows, vocabulary), which the next call writes over.

        Raises:
            InputError: a row is full, a token is not of the vocabulary, there are not as many as rows, or rows after an
                encoder are of different lengths.
        """
        cache = self._cache
        if len(ids) != cache.rows:
            raise InputError(f"There are {cache.rows} rows, and {len(ids)} tokens.")
        self._check(ids)
        longest = max(cache.lengths) + 1
        if self._texts is not None and min(cache.lengths) + 1 != longest:  # T5's bias of distance is one for all rows
            raise InputError(f"Rows after an encoder take a step at equal lengths; they have {cache.lengths} tokens.")
        self._reserve(longest)
        binding = self._binding(None)
        self._inputs["input_ids"][:, 0] = ids
        self._inputs[WITH_LOG_NORMALIZER][...] = normalizers
        self._inputs["seqlens_k"][:] = cache.lengths
        self._inputs["total_sequence_length"][...] = longest
        self._inputs["position_ids"][:, 0] = cache.lengths
        with self._writing():
            binding.run()
            cache.append_each(ids)
        return self._outputs["logits"][:, 0]

    def truncate(self, row: int, length: int) -> None:
        """Forget a row's tokens from `length` on."""
        self._cache.truncate(row, length)

    def select(self, sources: Sequence[int]) -> None:
        """Row i becomes what row sources[i] was; there are len(sources) rows then.

        Raises:
            InputError: there is no such row, or rows of a text would not stand side by side.
        """
        check_sources(sources, self._cache.rows)
        if self._texts is not None and self._texts.select(sources, self._cache.rows):
            self._unbind()
        self._cache.select(sources)

    def close(self) -> None:
        """Free the memory, or keep it for the next call that begins with the same tokens."""
        self._unbind()
        if self._prefixes is not None:
            self._prefixes.put(self._cache)
        self._cache = Cache(self._graph.past, 0, 0)

    def _check(self, ids: Ids) -> None:
        if ids.min() < 0 or ids.max() >= self._graph.vocabulary:
            raise InputError(
                f"Tokens are from 0 to {self._graph.vocabulary - 1}; there are {ids.min()} to {ids.max()}."
            )

    def _reserve(self, tokens: int) -> None:
        if self._limit is not None and tokens > self._limit:
            raise InputError(f"A row would have {tokens} tokens; this model takes {self._limit} at most.")
        if tokens > self._cache.capacity:
            self._cache.reserve(tokens, self._limit)

    def _reuse(self, row: int, ids: Ids) -> int:
        """Give an empty row the longest beginning of `ids` that anybody has read; its length."""
        if self._prefixes is None or self._cache.lengths[row] or len(ids) < LEAST_TOKENS:
            return 0
        source, best = _best(self._cache, ids)
        found = self._prefixes.take(ids, more_than=max(best, LEAST_TOKENS - 1))
        if found is not None:
            known, best = _best(found, ids)
            if found.rows == self._cache.rows and self._cache.empty and 2 * best >= len(found.known(known)):
                # A conversation goes on: its cache becomes ours. Other rows find their past in it, too.
                self._unbind()
                self._cache = found
                for other in range(found.rows):
                    found.truncate(other, 0)
                source = known
            else:
                self._reserve(best)
                self._cache.take(row, found, known, best)
                self._prefixes.put(found)
                return best
        if best < LEAST_TOKENS:
            return 0
        if source == row:
            self._cache.recall(row, best)
        else:
            self._reserve(best)
            self._cache.take(row, self._cache, source, best)
        return best

    def _read(self, row: int, ids: Ids, first: int, logits: Logits) -> None:
        """Append a chunk to a row; write the scores of its tokens from `first` on, (wanted, vocabulary)."""
        start = self._cache.lengths[row]
        stop = start + len(ids)
        inputs: dict[str, NDArray[Any]] = {
            "input_ids": ids[None],
            "position_ids": np.arange(start, stop)[None],
            "seqlens_k": np.array([stop - 1], np.int32),
            "total_sequence_length": np.array(stop, np.int32),
            "logits_to_keep": np.arange(first, first + len(logits)),
            WITH_LOG_NORMALIZER: np.array(False),
        }
        binding = self._binding(row)
        binding.bind(self._taken(inputs), {"logits": logits[None]})
        with self._writing():
            binding.run()
            self._cache.append(row, ids)

    def _binding(self, row: int | None) -> Binding:
        """The graph bound to the buffers of one row, or of every row and to the arrays of a step."""
        if self._bound_version != self._cache.version:
            self._unbind()
            self._bound_version = self._cache.version
        binding = self._bindings.get(row)
        if binding is None:
            binding = self._bindings[row] = Binding(self._session, self._graph.name)
            buffers = self._cache.arrays() if row is None else self._cache.of_row(row)
            binding.bind(buffers, {present(name): buffer for name, buffer in buffers.items()})
            if self._texts is not None:
                binding.bind(self._texts.arrays() if row is None else self._texts.of_row(row, self._cache.rows))
            if row is None:
                self._make_step(self._cache.rows)
                binding.bind(self._taken(self._inputs), self._outputs)
        return binding

    def _unbind(self) -> None:
        for binding in self._bindings.values():
            binding.close()
        self._bindings.clear()
        self._bound_version = -1

    def _make_step(self, rows: int) -> None:
        self._inputs = {
            "input_ids": np.zeros((rows, 1), np.int64),
            "position_ids": np.zeros((rows, 1), np.int64),
            "seqlens_k": np.zeros(rows, np.int32),
            "total_sequence_length": np.zeros((), np.int32),
            "logits_to_keep": np.zeros(1, np.int64),
            WITH_LOG_NORMALIZER: np.array(False),
        }
        self._outputs = {"logits": np.empty((rows, 1, self._graph.vocabulary), np.float32)}
        if self._graph.normalizes:
            self._outputs[LOG_NORMALIZER] = np.empty((rows, 1, 1), np.float32)

    def _taken(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return {name: array for name, array in inputs.items() if name in self._graph.inputs}

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """A run that fails may have written over what came after the rows' own tokens."""
        try:
            yield
        except BaseException:
            self._cache.forget()
            raise


def _best(cache: Cache, ids: Ids) -> tuple[int, int]:
    """The row that knows the longest beginning of `ids`, and its length."""
    lengths = [common_prefix(cache.known(row), ids) for row in range(cache.rows)]
    best = max(lengths)
    return lengths.index(best), best
