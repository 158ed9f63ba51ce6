"""What rows leave behind: found by its owner, block by block; the end of a text goes before its beginning."""

from __future__ import annotations

import numpy as np

from onnxpress.engine.buffers import Buffer
from onnxpress.generation.pool.blocks import BLOCK_TOKENS, KeptBlocks


def ids(blocks: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 99, blocks * BLOCK_TOKENS)


def cut_into(cuts: list[int]) -> object:
    def cut(start: int, stop: int) -> list[Buffer]:
        assert stop - start == BLOCK_TOKENS
        cuts.append(start // BLOCK_TOKENS)
        return []

    return cut


def test_a_beginning_is_held_once_and_found_by_its_owner_alone() -> None:
    blocks, cuts = KeptBlocks(10 * BLOCK_TOKENS, 1), []
    text = ids(3)
    blocks.keep("a", np.append(text, [1, 2]), cut_into(cuts))
    blocks.keep("a", np.concatenate([text[: 2 * BLOCK_TOKENS], ids(1, 5)]), cut_into(cuts))
    assert cuts == [0, 1, 2, 2]
    assert [block.ids.tolist() for block in blocks.find("a", text)] == text.reshape(3, -1).tolist()
    assert len(blocks.find("a", text[:-1])) == 2
    assert not blocks.find("b", text)
    assert not blocks.find("a", text[1:])
    assert not blocks.find(("a",), text)
    assert blocks.used_bytes == blocks.tokens == 4 * BLOCK_TOKENS


def test_what_was_of_no_use_goes_first_and_ends_before_beginnings() -> None:
    blocks = KeptBlocks(4 * BLOCK_TOKENS, 1)
    blocks.keep(0, ids(2, 1), cut_into([]))
    blocks.keep(0, ids(2, 2), cut_into([]))
    blocks.find(0, ids(2, 1))
    blocks.keep(0, ids(1, 3), cut_into([]))
    assert [len(blocks.find(0, ids(2, seed))) for seed in (1, 2)] == [2, 1]
    blocks.fit(2 * BLOCK_TOKENS + 5)
    assert blocks.tokens == 2 * BLOCK_TOKENS
    cuts: list[int] = []
    blocks.keep(0, ids(9, 4), cut_into(cuts))
    assert cuts == [0, 1], "no more than there is room for is copied"
    blocks.fit(0)
    assert not blocks.tokens
