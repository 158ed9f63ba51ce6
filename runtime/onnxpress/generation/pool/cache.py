"""Keys and values of the tokens that were read, in buffers that graphs write in place, and which tokens they are.

A row remembers the tokens whose keys it holds, those that were given up included: what is equal need not be read or
copied again. Memory becomes resident as it is written to, and goes back when a row leaves. Knows no graph and no
session.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from onnxpress.engine.buffers import Buffer, allocate
from onnxpress.errors import InputError, OutOfMemory
from onnxpress.generation.pool.moves import SPARE, check_sources, moves

Ids = NDArray[np.int64]
Blocks = Mapping[tuple[int, int], Buffer]

#: Where so much of the memory was written, all of it may become resident.
MOSTLY = 0.75


class Cache:
    """Buffers (rows, heads, capacity, size), one for each name, and rows of tokens.

    Arguments:
        shapes: name -> (heads, size).
        texts: what each row is about, or whose it is: keys of equal tokens are shared only within one text or owner.
        dtype: of the buffers.
        device: where they are, as `engine.providers.parse_device` takes it.

    `version` changes when the buffers lie elsewhere; what `buffers` and `of_row` returned before is then of no use.
    """

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, int]],
        rows: int,
        capacity: int,
        texts: Sequence[Hashable] | None = None,
        dtype: str = "float32",
        device: object = None,
    ) -> None:
        self._dtype = np.dtype(dtype)
        self._device = device
        self._shapes = dict(shapes)
        self.version = 0
        self._gathered: bool = False  # whether the buffers have huge pages, being mostly written
        self.lengths = [0] * rows
        self._texts: list[Hashable] = [0] * rows if texts is None else list(texts)
        self._known = [0] * rows  # tokens whose keys are there, from the first on
        self._allocate(rows, capacity)

    @property
    def rows(self) -> int:
        return len(self.lengths)

    @property
    def empty(self) -> bool:
        """Whether the cache knows no tokens."""
        return not any(self._known)

    @property
    def owners(self) -> set[Hashable]:
        """What its rows are about, or whose they are."""
        return set(self._texts)

    @property
    def used_bytes(self) -> int:
        """Bytes that were written to, approximately."""
        token_bytes = sum(heads * size for heads, size in self._shapes.values()) * self._dtype.itemsize
        return token_bytes * sum(self._written)

    def buffers(self, rows: int | None = None) -> dict[str, Buffer]:
        """Keys and values of the first `rows`, else of all, by name: parts (rows, heads, capacity, size)."""
        return self._parts(0, self.rows if rows is None else rows)

    def of_row(self, row: int) -> dict[str, Buffer]:
        """Keys and values of one row by name: parts (1, heads, capacity, size)."""
        return self._parts(row, row + 1)

    def known(self, row: int) -> Ids:
        """The tokens whose keys a row holds, int64; its first `lengths[row]` are the row's own. A view."""
        return self._ids[row, : self._known[row]]

    def owner(self, row: int) -> Hashable:
        """What a row is about, or whose it is."""
        return self._texts[row]

    def assign(self, row: int, owner: Hashable) -> None:
        """Give a row to an owner; it forgets what it knows of another one's beyond its own tokens."""
        if self._texts[row] != owner:
            self._texts[row] = owner
            self._known[row] = self.lengths[row]

    def reserve(self, tokens: int, limit: int | None = None) -> None:
        """Make room for rows of so many tokens: nothing, or twice the capacity, but no more than `limit`."""
        if tokens > self.capacity:
            doubled = 2 * self.capacity if limit is None else min(2 * self.capacity, limit)
            self._move(len(self._ids), max(tokens, doubled))

    def provide(self, rows: int) -> None:
        """Have buffers of so many rows at least, whosoever they are."""
        if rows > len(self._ids):
            self._move(rows, self.capacity)

    def admit(self, text: Hashable = 0) -> int:
        """Add an empty row after the others; its number."""
        row = self.rows
        if row == len(self._ids):
            self._move(max(2 * row, 1), self.capacity)
        self.lengths.append(0)
        self._known.append(0)
        self._texts.append(text)
        return row

    def begin_anew(self, rows: int, tokens: int) -> bool:
        """Hold so many empty rows, which may recall what they knew; False, and nothing changes: there is no room."""
        if rows > len(self._ids) or tokens > self.capacity:
            return False
        self._known = (self._known + [0] * rows)[:rows]
        self._texts = (self._texts + [0] * rows)[:rows]
        self.lengths = [0] * rows
        return True

    def append(self, row: int, ids: Sequence[int] | Ids) -> None:
        """Note the tokens whose keys a graph has written, or will write next."""
        start = self.lengths[row]
        stop = start + len(ids)
        self._ids[row, start:stop] = ids
        self._grew(row, stop)

    def append_each(self, ids: Ids) -> None:
        """Note one token more for each of the first rows: int64 (rows)."""
        for row, token in enumerate(ids):
            length = self.lengths[row]
            self._ids[row, length] = token
            self._grew(row, length + 1)

    def truncate(self, row: int, length: int) -> None:
        """Give up a row's tokens from `length` on.

        Raises:
            InputError: the row has fewer.
        """
        if not 0 <= length <= self.lengths[row]:
            raise InputError(f"Row {row} has {self.lengths[row]} tokens; it cannot be cut to {length}.")
        self.lengths[row] = length

    def forget(self) -> None:
        """Know no tokens but the rows' own: what came after them may have been written over."""
        self._known[:] = self.lengths

    def recall(self, row: int, tokens: int) -> None:
        """Take the first `tokens` of the known tokens for the row's own."""
        self.lengths[row] = tokens

    def take(self, row: int, source: Cache, source_row: int, tokens: int) -> None:
        """Copy the first `tokens` of a row, of this or another cache of the same shapes, into an empty row."""
        self._take(row, source._blocks, source._ids, source_row, tokens)
        self._grew(row, tokens)

    def cut(self, row: int, start: int, stop: int) -> list[Buffer]:
        """Copy keys and values of some tokens of a row: each block as a block of one row."""
        copies = []
        for block in self._blocks.values():
            names, _, heads, _, size = block.shape
            spare = allocate((names, 1, heads, stop - start, size), self._dtype, self._device)
            _copy(spare, 0, 0, block, row, start, stop - start)
            copies.append(spare)
        return copies

    def paste(self, row: int, ids: Ids, parts: Sequence[Buffer]) -> None:
        """Append int64 (tokens) to a row, with keys and values that `cut` has copied of a cache of the same shapes."""
        start = self.lengths[row]
        for block, part in zip(self._blocks.values(), parts, strict=True):
            _copy(block, row, start, part, 0, 0, len(ids))
        self.append(row, ids)

    def select(self, sources: Sequence[int]) -> None:
        """Row i becomes what row sources[i] was; there are len(sources) rows then. Copies only what differs.

        Raises:
            InputError: there is no such row.
        """
        check_sources(sources, self.rows)
        lengths = [self.lengths[source] for source in sources]
        texts = [self._texts[source] for source in sources]
        known = [self._known[row] if row == source else lengths[row] for row, source in enumerate(sources)]
        if len(sources) > len(self._ids):
            blocks, ids = self._blocks, self._ids
            self._allocate(len(sources), self.capacity)
            for row, source in enumerate(sources):
                self._take(row, blocks, ids, source, known[row])
        else:
            self._rearrange(sources)
            self._release(len(sources), self.rows)
        self.lengths[:], self._texts[:], self._known[:] = lengths, texts, known
        for row, tokens in enumerate(known):
            self._written[row] = max(self._written[row], tokens)

    def _rearrange(self, sources: Sequence[int]) -> None:
        """Fill rows from one another, in place."""
        starts = [self._common(row, source) for row, source in enumerate(sources)]
        stops = [self.lengths[source] for source in sources]
        aside: list[Buffer] = []
        aside_ids = self._ids[0]
        order = moves(sources)
        for place, (row, source) in enumerate(order):
            if row == SPARE:
                reader = next(row for row, wanted in order[place:] if wanted == SPARE)
                start, stop = starts[reader], stops[reader]
                aside = self.cut(source, start, stop)
                aside_ids = self._ids[source, start:stop].copy()
                continue
            start, stop = starts[row], stops[row]
            if source == SPARE:
                for block, spare in zip(self._blocks.values(), aside, strict=True):
                    _copy(block, row, start, spare, 0, 0, stop - start)
                self._ids[row, start:stop] = aside_ids
                continue
            for block in self._blocks.values():
                _copy(block, row, start, block, source, start, stop - start)
            self._ids[row, start:stop] = self._ids[source, start:stop]

    def _common(self, row: int, source: int) -> int:
        """Count the tokens at the source's beginning whose keys the row holds already."""
        if row >= self.rows or self._texts[row] != self._texts[source]:
            return 0
        return common_prefix(self.known(row), self._ids[source, : self.lengths[source]])

    def _take(self, row: int, blocks: Blocks, ids: Ids, source: int, tokens: int) -> None:
        for shape, block in blocks.items():
            _copy(self._blocks[shape], row, 0, block, source, 0, tokens)
        self._ids[row, :tokens] = ids[source, :tokens]

    def _grew(self, row: int, length: int) -> None:
        self.lengths[row] = self._known[row] = length
        if length > self._written[row]:
            self._written[row] = length
            if not self._gathered and sum(self._written) >= MOSTLY * self.capacity * len(self._written):
                self._gathered = True
                for block in self._blocks.values():
                    block.gather()

    def _move(self, rows: int, capacity: int) -> None:
        """Move the rows into buffers for so many rows of so many tokens."""
        blocks, ids = self._blocks, self._ids
        self._allocate(rows, capacity)
        for row, known in enumerate(self._known):
            self._take(row, blocks, ids, row, known)
            self._written[row] = known

    def _allocate(self, rows: int, capacity: int) -> None:
        names: dict[tuple[int, int], list[str]] = {}
        for name, shape in self._shapes.items():
            names.setdefault(shape, []).append(name)
        #: One block for all keys and values of a shape, (names, rows, heads, capacity, size): one copy moves a row.
        try:
            self._blocks = {
                (heads, size): allocate((len(group), rows, heads, capacity, size), self._dtype, self._device)
                for (heads, size), group in names.items()
            }
        except OutOfMemory:
            numbers = sum(len(group) * heads * size for (heads, size), group in names.items())
            gigabytes = numbers * rows * capacity * self._dtype.itemsize / 1e9
            raise OutOfMemory(
                f"Keys and values of {rows} rows of {capacity} tokens take {gigabytes:.1f} GB, more than there is. "
                "Ask for fewer rows at once, or for fewer new tokens."
            ) from None
        self._places = {name: (shape, place) for shape, group in names.items() for place, name in enumerate(group)}
        self._ids = np.zeros((rows, capacity), np.int64)
        self._written = [0] * rows  # tokens of the longest that each row ever was: so many are resident
        self._gathered = False
        self.capacity: int = capacity
        self.version += 1

    def _release(self, start: int, stop: int) -> None:
        """Give back the memory of removed rows."""
        if start < stop:
            for block in self._blocks.values():
                for place in range(block.shape[0]):
                    block.at(place).rows(start, stop).release()
            self._written[start:stop] = [0] * (stop - start)

    def _parts(self, start: int, stop: int) -> dict[str, Buffer]:
        return {name: self._blocks[shape].at(place).rows(start, stop) for name, (shape, place) in self._places.items()}


def _copy(target: Buffer, row: int, at: int, source: Buffer, source_row: int, start: int, tokens: int) -> None:
    """Copy some tokens of a row of a block, from `start` on, into a row of another or the same, to `at`.

    Both are (names, rows, heads, capacity, size). A device copies what lies side by side: one head's tokens at a time.
    """
    if not tokens:
        return
    if target.on_host and source.on_host:
        target.array[:, row, :, at : at + tokens] = source.array[:, source_row, :, start : start + tokens]
        return
    names, _, heads, _, _ = target.shape
    for name in range(names):
        to, of = target.at(name).at(row), source.at(name).at(source_row)
        for head in range(heads):
            to.at(head).rows(at, at + tokens).copy_from(of.at(head).rows(start, start + tokens))


def common_prefix(first: Ids, second: Ids) -> int:
    """How many tokens two sequences have in common from the beginning."""
    length = min(len(first), len(second))
    differs = first[:length] != second[:length]
    return int(differs.argmax()) if differs.any() else length
