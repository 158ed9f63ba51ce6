"""Keeps keys and values of texts that were read, some tokens at a time, for later texts that begin the same way.

A block is found by a hash of its tokens, of all tokens before them and of its owner: what one owner has read, no other
finds. What several texts begin with is held once. Bounded in bytes; what was not of use for the longest time goes
first, and of a text its end before its beginning. Not for several threads. Knows no graph.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from onnxpress.engine.buffers import Buffer
from onnxpress.generation.pool.cache import Ids

#: Tokens of a block: a prompt's beginning is found again to so many.
BLOCK_TOKENS = 32

#: Copies keys and values of the tokens from one place of a row to another.
Cut = Callable[[int, int], list[Buffer]]


@dataclass(frozen=True, slots=True)
class Block:
    """`ids` int64 (BLOCK_TOKENS); `parts`: their keys and values, as `Cache.cut` returns them."""

    ids: Ids
    parts: list[Buffer]


class KeptBlocks:
    """Arguments:
    limit_bytes: memory for all.
    token_bytes: of the keys and values of a token.
    """

    def __init__(self, limit_bytes: int, token_bytes: int) -> None:
        self._block_bytes = token_bytes * BLOCK_TOKENS
        self._blocks: OrderedDict[bytes, Block] = OrderedDict()  # what was of use last is the last
        self._most = limit_bytes // self._block_bytes
        self._room = self._most

    @property
    def tokens(self) -> int:
        """How many tokens are kept."""
        return len(self._blocks) * BLOCK_TOKENS

    @property
    def used_bytes(self) -> int:
        """Bytes of all keys and values that are kept."""
        return len(self._blocks) * self._block_bytes

    def find(self, owner: Hashable, ids: Ids) -> list[Block]:
        """The blocks that `ids` int64 (tokens) begin with, of those that this owner has read."""
        known: list[bytes] = []
        for digest in _digests(owner, ids):
            if digest not in self._blocks:
                break
            known.append(digest)
        for digest in reversed(known):
            self._blocks.move_to_end(digest)
        return [self._blocks[digest] for digest in known]

    def keep(self, owner: Hashable, ids: Ids, cut: Cut) -> None:
        """Keep what this owner has read, int64 (tokens); `cut` copies what is not here yet."""
        digests = _digests(owner, ids)[: self._room]
        for place, digest in enumerate(digests):
            if digest not in self._blocks:
                start = place * BLOCK_TOKENS
                stop = start + BLOCK_TOKENS
                self._blocks[digest] = Block(ids[start:stop].copy(), cut(start, stop))
        for digest in reversed(digests):
            self._blocks.move_to_end(digest)
        self._shrink()

    def fit(self, tokens: int) -> None:
        """Keep no more than so many tokens from now on: others need the memory."""
        self._room = min(self._most, max(tokens, 0) // BLOCK_TOKENS)
        self._shrink()

    def clear(self) -> None:
        """Free the memory."""
        self._blocks.clear()

    def _shrink(self) -> None:
        while len(self._blocks) > self._room:
            self._blocks.popitem(last=False)


def _digests(owner: Hashable, ids: Ids) -> Sequence[bytes]:
    """The hash of each whole block of `ids`."""
    name = repr(owner).encode()
    chain = blake2b(len(name).to_bytes(8, "little") + name, digest_size=16)
    digests = []
    for start in range(0, len(ids) - BLOCK_TOKENS + 1, BLOCK_TOKENS):
        chain.update(ids[start : start + BLOCK_TOKENS].tobytes())
        digests.append(chain.copy().digest())
    return digests
