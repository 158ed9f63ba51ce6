"""Keys and values of the tokens that were read, in buffers that graphs write in place, and which tokens they are.

A row remembers the tokens whose keys it holds, those that were given up included: what is equal need not be read or
copied again. Knows no graph and no session.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.errors import InputError
from onnxpress.generation.pool.moves import SPARE, check_sources, moves

Buffer = NDArray[Any]
Ids = NDArray[np.int64]


class Cache:
    """Buffers (rows, heads, capacity, size), one for each name, and rows of tokens.

    Arguments:
        shapes: name -> (heads, size).
        texts: what each row is about, any number: keys of equal tokens are equal only within one text.
        dtype: of the buffers.

    Memory is taken from the system as it is written to. `version` changes when arrays move or change their shapes.
    """

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, int]],
        rows: int,
        capacity: int,
        texts: Sequence[int] | None = None,
        dtype: str = "float32",
    ) -> None:
        self._dtype = np.dtype(dtype)
        self._shapes = dict(shapes)
        self.version = 0
        self.lengths = [0] * rows
        self._texts = [0] * rows if texts is None else list(texts)
        self._known = [0] * rows  # tokens whose keys are there, from the first on
        self._most = 0  # tokens of the longest row that there ever was
        self._allocate(rows, capacity)

    @property
    def rows(self) -> int:
        return len(self.lengths)

    @property
    def empty(self) -> bool:
        """Nothing was read, or nothing of it is known any more."""
        return not any(self._known)

    @property
    def used_bytes(self) -> int:
        """Memory that was written to, about."""
        return sum(block[:, :, :, : self._most].nbytes for block in self._blocks.values())

    def arrays(self) -> dict[str, Buffer]:
        """The buffers by name: views (rows, heads, capacity, size), contiguous."""
        return self._view(slice(0, self.rows))

    def of_row(self, row: int) -> dict[str, Buffer]:
        """One row of each buffer: views (1, heads, capacity, size), contiguous."""
        return self._view(slice(row, row + 1))

    def known(self, row: int) -> Ids:
        """The tokens whose keys a row holds, int64; its first `lengths[row]` are the row's own. A view."""
        return self._ids[row, : self._known[row]]

    def reserve(self, tokens: int, limit: int | None = None) -> None:
        """Make room for rows of so many tokens: nothing, or twice the capacity, but no more than `limit`."""
        if tokens > self.capacity:
            blocks, ids = self._blocks, self._ids
            doubled = 2 * self.capacity if limit is None else min(2 * self.capacity, limit)
            self._allocate(self.rows, max(tokens, doubled))
            for row in range(self.rows):
                self._take(row, blocks, ids, row, self._known[row])

    def append(self, row: int, ids: Sequence[int] | Ids) -> None:
        """Note the tokens whose keys a graph has written, or will write next."""
        start = self.lengths[row]
        stop = start + len(ids)
        self._ids[row, start:stop] = ids
        self._grew(row, stop)

    def append_each(self, ids: Ids) -> None:
        """Note one token more for every row: int64 (rows)."""
        for row, length in enumerate(self.lengths):
            self._ids[row, length] = ids[row]
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

    def select(self, sources: Sequence[int]) -> None:
        """Row i becomes what row sources[i] was; there are len(sources) rows then. Copies only what differs.

        Raises:
            InputError: there is no such row.
        """
        check_sources(sources, self.rows)
        lengths = [self.lengths[source] for source in sources]
        texts = [self._texts[source] for source in sources]
        if len(sources) > len(self._ids):
            blocks, ids = self._blocks, self._ids
            self._allocate(len(sources), self.capacity)
            for row, source in enumerate(sources):
                self._take(row, blocks, ids, source, lengths[row])
        else:
            self._rearrange(sources)
        if len(sources) != self.rows:
            self.version += 1
        known = [
            self._known[row] if row < self.rows and row == source else lengths[row]
            for row, source in enumerate(sources)
        ]
        self.lengths[:], self._texts[:], self._known[:] = lengths, texts, known

    def _rearrange(self, sources: Sequence[int]) -> None:
        """Fill rows from one another, in place."""
        blocks = list(self._blocks.values())
        starts = [self._common(row, source) for row, source in enumerate(sources)]
        stops = [self.lengths[source] for source in sources]
        spare: list[Buffer] = []
        spare_ids = self._ids[0]
        order = moves(sources)
        for place, (row, source) in enumerate(order):
            if row == SPARE:
                reader = next(row for row, wanted in order[place:] if wanted == SPARE)
                start, stop = starts[reader], stops[reader]
                spare = [block[:, source, :, start:stop].copy() for block in blocks]
                spare_ids = self._ids[source, start:stop].copy()
                continue
            start, stop = starts[row], stops[row]
            if source == SPARE:
                for block, kept in zip(blocks, spare, strict=True):
                    block[:, row, :, start:stop] = kept
                self._ids[row, start:stop] = spare_ids
                continue
            for block in blocks:
                block[:, row, :, start:stop] = block[:, source, :, start:stop]
            self._ids[row, start:stop] = self._ids[source, start:stop]

    def _common(self, row: int, source: int) -> int:
        """Tokens at the source's beginning whose keys the row holds already."""
        if row >= self.rows or self._texts[row] != self._texts[source]:
            return 0
        return common_prefix(self.known(row), self._ids[source, : self.lengths[source]])

    def _take(self, row: int, blocks: Mapping[tuple[int, int], Buffer], ids: Ids, source: int, tokens: int) -> None:
        for shape, block in blocks.items():
            self._blocks[shape][:, row, :, :tokens] = block[:, source, :, :tokens]
        self._ids[row, :tokens] = ids[source, :tokens]

    def _grew(self, row: int, length: int) -> None:
        self.lengths[row] = self._known[row] = length
        self._most = max(self._most, length)

    def _allocate(self, rows: int, capacity: int) -> None:
        names: dict[tuple[int, int], list[str]] = {}
        for name, shape in self._shapes.items():
            names.setdefault(shape, []).append(name)
        #: One block for all buffers of a shape: (buffers, rows, heads, capacity, size). One copy moves a row of all.
        try:
            self._blocks = {
                (heads, size): np.empty((len(group), rows, heads, capacity, size), self._dtype)
                for (heads, size), group in names.items()
            }
        except MemoryError:
            numbers = sum(len(group) * heads * size for (heads, size), group in names.items())
            gigabytes = numbers * rows * capacity * self._dtype.itemsize / 1e9
            raise InputError(
                f"Keys and values of {rows} rows of {capacity} tokens take {gigabytes:.1f} GB, more than there is. "
                "Ask for fewer rows at once, or for fewer new tokens."
            ) from None
        self._places = {name: (shape, place) for shape, group in names.items() for place, name in enumerate(group)}
        self._ids = np.zeros((rows, capacity), np.int64)
        self.capacity = capacity
        self.version += 1

    def _view(self, rows: slice) -> dict[str, Buffer]:
        return {name: self._blocks[shape][place, rows] for name, (shape, place) in self._places.items()}


def common_prefix(first: Ids, second: Ids) -> int:
    """How many tokens two sequences have in common from the beginning."""
    length = min(len(first), len(second))
    differs = first[:length] != second[:length]
    return int(differs.argmax()) if differs.any() else length
