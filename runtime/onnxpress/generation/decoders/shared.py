"""Rows of tokens over a graph with fused attention that writes keys and values in place.

Everything is bound once; a step rewrites a few integers and runs the graph. A prompt is read row by row, in chunks;
what it has in common with what another row, or an earlier call, has read is not read again. Knows no search.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.engine.binding import Binding
from onnxpress.engine.buffers import Buffer
from onnxpress.engine.session import Session
from onnxpress.errors import InputError
from onnxpress.generation.decoder import Ids, Logits
from onnxpress.generation.decoders.checks import check_keep, check_length, check_tokens
from onnxpress.generation.decoders.graph import LOG_NORMALIZER, WITH_LOG_NORMALIZER, DecoderGraph, present
from onnxpress.generation.decoders.idle import Idle
from onnxpress.generation.decoders.step import Step, bind_step
from onnxpress.generation.decoders.text_arrays import Texts
from onnxpress.generation.pool.blocks import KeptBlocks
from onnxpress.generation.pool.cache import Cache
from onnxpress.generation.pool.moves import check_sources
from onnxpress.generation.pool.prefixes import LEAST_TOKENS, Prefixes, best_row
from onnxpress.generation.prompts import chunk_end

#: Tokens of a prompt that are read in one run: memory for activations is bounded by it. (Qwen2-0.5B in q4, two
#: threads: of 1,024 and of 4,000 tokens 128 take the least time, 64 and 256 up to 5 % more; docs/decisions/0129.)
CHUNK_TOKENS = 128

#: In the place of lengths, in graphs that other tools run, too: which of a row's places hold a token.
MASK = "attention_mask"


class SharedDecoder:
    """Rows of tokens. Implements `decoder.Decoder`.

    Arguments:
        cache: empty rows.
        texts: what an encoder made of the texts that the rows are about.
        prefixes: what earlier calls have read; None: neither that nor what other rows have read is of use.
        store: what rows that left have read.
        steady: whether a step has two rows at least, one of which may be nobody's: 4-bit products of one row go through
            another kernel than those of several, which rounds differently.
        idle: where the decoder goes when it is closed; None: its memory is freed.
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
        store: KeptBlocks | None = None,
        steady: bool = False,
        idle: Idle[SharedDecoder] | None = None,
    ) -> None:
        self._idle, self._closed = idle, False
        self._session = session
        self._graph = graph
        self._cache = cache
        self._limit = limit
        self._texts = texts
        self._prefixes = prefixes
        self._kept = store
        self._least_rows = 2 if steady else 1
        self._bindings: dict[int, Binding] = {}  # by row
        self._steps: dict[int, Step] = {}  # by the number of rows that step
        self._last_step: Step | None = None
        self._scores = np.empty((0, 1, graph.vocabulary), np.float32)
        self._bound_version = -1
        #: Tokens of prompts that were not read, because others had read them.
        self.reused_tokens = 0

    @property
    def lengths(self) -> Sequence[int]:
        return self._cache.lengths

    @property
    def limit(self) -> int | None:
        return self._limit

    @property
    def admits(self) -> bool:
        return self._texts is None

    @property
    def steps_uneven(self) -> bool:
        """T5's bias of distance is one for all rows of a step."""
        return self._texts is None

    @property
    def log_normalizers(self) -> Logits | None:
        """float32 (rows): of what the last step returned; None: it was not asked for, or the graph has none."""
        step = self._last_step
        if step is None or LOG_NORMALIZER not in step.outputs or not step.inputs[WITH_LOG_NORMALIZER]:
            return None
        return step.outputs[LOG_NORMALIZER][:, 0, 0]

    def admit(self) -> int:
        """Add an empty row after the others; its slot.

        Raises:
            InputError: after an encoder, which has read no text for it.
        """
        if self._texts is not None:
            raise InputError("A row after an encoder comes with its text: open another decoder for it.")
        return self._cache.admit()

    def recall(self, row: int, ids: Ids) -> None:
        """Give an empty row the longest beginning of `ids` int64 (tokens) that any row or earlier call has read."""
        self.reused_tokens += self._reuse(row, ids)

    def mark_prompt(self, row: int, tokens: int, owner: Hashable = 0) -> None:
        """What was written is read as a prompt is."""
        if self._texts is None:
            self._cache.assign(row, owner)

    def prefill(self, row: int, ids: Sequence[int] | Ids, keep: int = 1) -> Logits:
        """Append tokens to one row; float32 (keep, vocabulary) for the last `keep` of them.

        Raises:
            InputError: there are too few or too many tokens, or one is not of the vocabulary.
        """
        tokens = np.ascontiguousarray(ids, np.int64)
        check_keep(len(tokens), keep)
        check_tokens(tokens, self._graph.vocabulary)
        done = self._reuse(row, tokens[: len(tokens) - keep])
        self.reused_tokens += done
        self._reserve(self._cache.lengths[row] + len(tokens) - done)
        logits = np.empty((keep, self._graph.vocabulary), np.float32)
        first = len(tokens) - keep
        start = done
        while start < len(tokens):
            stop = chunk_end(start, len(tokens), CHUNK_TOKENS)
            wanted = max(first - start, 0)
            if wanted < stop - start:
                scores = logits[start + wanted - first : stop - first]
                self._read(row, tokens[start:stop], wanted, scores)
            else:  # a graph gives one at least; the first of those that are wanted overwrites it
                self._read(row, tokens[start:stop], stop - start - 1, logits[:1])
            start = stop
        return logits

    def step(self, ids: Ids, normalizers: bool = False) -> Logits:
        """Append one token to each of the first rows, int64 (rows).

        Returns float32 (rows, vocabulary), which the next call writes over.

        Raises:
            InputError: a row is full, a token is not of the vocabulary, there are more than rows, or, after an encoder,
                fewer, or rows of different lengths.
        """
        cache, count = self._cache, len(ids)
        if not 0 < count <= cache.rows or (self._texts is not None and count != cache.rows):
            raise InputError(f"There are {cache.rows} rows, and {count} tokens.")
        check_tokens(ids, self._graph.vocabulary)
        wide, lengths = count, cache.lengths[:count]
        if count < self._least_rows:  # a place behind a row's own tokens, or in a row of its own, is nobody's
            wide = self._least_rows
            cache.provide(wide)
            cache.forget()
            lengths = [*cache.lengths[:wide], *[0] * (wide - cache.rows)]
        longest = max(lengths) + 1
        if self._texts is not None and min(lengths) + 1 != longest:
            raise InputError(f"Rows after an encoder take a step at equal lengths; they have {lengths} tokens.")
        self._reserve(longest)
        step = self._last_step = self._step_of(wide)
        step.inputs["input_ids"][:count, 0] = ids
        step.inputs[WITH_LOG_NORMALIZER][...] = normalizers
        step.inputs["seqlens_k"][:] = lengths
        # A captured step has read this on the host: all that there is room for is as right as the longest row.
        step.inputs["total_sequence_length"][...] = cache.capacity if self._session.captures else longest
        step.inputs["position_ids"][:, 0] = lengths
        if MASK in self._graph.inputs:
            np.less_equal(
                np.arange(cache.capacity), np.array(lengths)[:, None], out=step.inputs[MASK], casting="unsafe"
            )
        with self._writing():
            step.run()
            cache.append_each(ids)
        return step.outputs["logits"][:count, 0]

    def truncate(self, row: int, length: int) -> None:
        """Forget a row's tokens from `length` on."""
        self._cache.truncate(row, length)

    def select(self, sources: Sequence[int]) -> None:
        """Row i becomes what row sources[i] was; there are len(sources) rows then.

        Raises:
            InputError: there is no such row, or rows of a text would not stand side by side.
        """
        check_sources(sources, self._cache.rows)
        if self._kept is not None:
            for row in set(range(self._cache.rows)).difference(sources):
                self._keep(self._kept, row)
        if self._texts is not None:
            moved = self._texts.select(sources, self._cache.rows)
            if moved or len(sources) != self._cache.rows:  # rows are about other texts than they were
                self._unbind()
        self._cache.select(sources)

    def close(self) -> None:
        """Free the memory, or keep it for the next call, such as one that begins with the same tokens."""
        if self._idle is not None:
            if not self._closed:
                self._closed = True
                self._idle.put(self)
            return
        self._unbind()
        if self._kept is not None:
            for row in range(self._cache.rows):
                self._keep(self._kept, row)
        if self._prefixes is not None:
            self._prefixes.put(self._cache)
        self._cache = Cache(self._graph.past, 0, 0)

    def begin_anew(self, rows: int, tokens: int) -> bool:
        """Hold so many empty rows with room for so many tokens, after `close`; whether there is room."""
        if self._session.closed or not self._cache.begin_anew(rows, tokens):
            return False
        self._closed, self._last_step, self.reused_tokens = False, None, 0
        return True

    def _reserve(self, tokens: int) -> None:
        check_length(tokens, self._limit)
        if tokens > self._cache.capacity:
            self._cache.reserve(tokens, self._limit)

    def _reuse(self, row: int, ids: Ids) -> int:
        """Give an empty row the longest beginning of `ids` that anybody has read; its length."""
        if self._prefixes is None or self._cache.lengths[row] or len(ids) < LEAST_TOKENS:
            return 0
        owner = self._cache.owner(row)
        source, best = best_row(self._cache, ids, owner)
        if self._kept is not None and (tokens := self._recalled(self._kept, row, ids, more_than=best)):
            return tokens
        earlier = self._prefixes.take(ids, max(best, LEAST_TOKENS - 1), owner)
        if earlier is not None:
            known, best = best_row(earlier, ids, owner)
            alike = earlier.rows == self._cache.rows and earlier.owners == self._cache.owners == {owner}
            if alike and self._cache.empty and 2 * best >= len(earlier.known(known)):
                # A conversation goes on: its cache becomes ours. Other rows find their past in it, too.
                self._unbind()
                self._cache = earlier
                for other in range(earlier.rows):
                    earlier.truncate(other, 0)
                source = known
            else:
                self._reserve(best)
                self._cache.take(row, earlier, known, best)
                self._prefixes.put(earlier)
                return best
        if best < LEAST_TOKENS:
            return 0
        if source == row:
            self._cache.recall(row, best)
        else:
            self._reserve(best)
            self._cache.take(row, self._cache, source, best)
        return best

    def _recalled(self, store: KeptBlocks, row: int, ids: Ids, more_than: int) -> int:
        """Give an empty row what rows that left have read, if that is more than so many tokens; how many."""
        blocks = store.find(self._cache.owner(row), ids)
        tokens = sum(len(block.ids) for block in blocks)
        if tokens <= more_than:
            return 0
        self._reserve(tokens)
        for block in blocks:
            self._cache.paste(row, block.ids, block.parts)
        return tokens

    def _keep(self, store: KeptBlocks, row: int) -> None:
        cache = self._cache
        store.keep(cache.owner(row), cache.known(row), lambda start, stop: cache.cut(row, start, stop))

    def _read(self, row: int, ids: Ids, first: int, logits: Logits) -> None:
        """Append a chunk to a row; write the scores of its tokens from `first` on, (wanted, vocabulary)."""
        start = self._cache.lengths[row]
        stop = start + len(ids)
        inputs: dict[str, NDArray[Any]] = {
            "input_ids": ids[None],
            "position_ids": np.arange(start, stop)[None],
            "seqlens_k": np.array([stop - 1], np.int32),
            "total_sequence_length": np.array(stop, np.int32),
            MASK: np.ones((1, stop), np.int64),
            "logits_to_keep": np.arange(first, first + len(logits)),
            WITH_LOG_NORMALIZER: np.array(False),
        }
        binding, picks = self._row(row), "logits_to_keep" in self._graph.inputs
        scores = logits[None] if picks else np.empty((1, len(ids), self._graph.vocabulary), np.float32)
        binding.bind(self._taken(inputs), {"logits": scores})
        with self._writing():
            binding.run()
            self._cache.append(row, ids)
        if not picks:
            logits[...] = scores[0, first : first + len(logits)]

    def _row(self, row: int) -> Binding:
        """The graph bound to the buffers of one row."""
        self._rebind()
        binding = self._bindings.get(row)
        if binding is None:
            texts = {} if self._texts is None else self._texts.of_row(row, self._cache.rows)
            binding = self._bindings[row] = self._bound(self._cache.of_row(row), texts)
        return binding

    def _step_of(self, rows: int) -> Step:
        """The graph bound for a step of the first rows."""
        self._rebind()
        step = self._steps.get(rows)
        if step is None:
            inputs: dict[str, NDArray[Any]] = {
                "input_ids": np.zeros((rows, 1), np.int64),
                "position_ids": np.zeros((rows, 1), np.int64),
                "seqlens_k": np.zeros(rows, np.int32),
                "total_sequence_length": np.zeros((), np.int32),
                # As wide as there is room: rows are told apart by how far it goes.
                MASK: np.zeros((rows, self._cache.capacity), np.int64),
                "logits_to_keep": np.zeros(1, np.int64),
                WITH_LOG_NORMALIZER: np.array(False),
            }
            if rows > len(self._scores):  # one buffer serves steps of any number of rows
                self._unbind()
                self._bound_version = self._cache.version
                self._scores = np.empty((rows, 1, self._graph.vocabulary), np.float32)
            outputs = {"logits": self._scores[:rows]}
            if self._graph.normalizes:
                outputs[LOG_NORMALIZER] = np.empty((rows, 1, 1), np.float32)
            texts = {} if self._texts is None else self._texts.buffers(rows)
            binding = self._bound(self._cache.buffers(rows), texts, captured=True)
            step = self._steps[rows] = bind_step(self._session, binding, inputs, outputs, self._taken(inputs))
        return step

    def _bound(self, buffers: Mapping[str, Buffer], texts: Mapping[str, Buffer], *, captured: bool = False) -> Binding:
        binding = Binding(self._session, self._graph.name, captured=captured)
        binding.bind({**buffers, **texts}, {present(name): buffer for name, buffer in buffers.items()})
        return binding

    def _rebind(self) -> None:
        """Let go of buffers that the cache has left."""
        if self._bound_version != self._cache.version:
            self._unbind()
            self._bound_version = self._cache.version

    def _unbind(self) -> None:
        for binding in (*self._bindings.values(), *(step.binding for step in self._steps.values())):
            binding.close()
        self._bindings.clear()
        self._steps.clear()
        self._last_step = None
        self._bound_version = -1

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
