"""Token sequences of any length packed into windows of one length, for training a causal language model.

It knows no tokenizer: a sequence comes with its end-of-text token.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

import torch

from training.loop import Batch


def windows(sequences: Sequence[Sequence[int]], length: int, rng: Random) -> list[list[int]]:
    """Windows of exactly `length` tokens, the sequences in random order.

    Each starts where a sequence starts, as every prompt does; what does not fit is cut, and a sequence longer than a
    window goes on in the next.
    """
    pieces = [list(ids[at : at + length]) for ids in sequences for at in range(0, len(ids), length)]
    rng.shuffle(pieces)
    found, window = [], list[int]()
    for piece in pieces:
        window += piece
        if len(window) >= length:
            found.append(window[:length])
            window = []
    return found


def packed(sequences: Sequence[Sequence[int]], length: int, rows: int, rng: Random) -> Iterator[Batch]:
    """Endless batches: input_ids and labels, int64 (rows, length)."""
    while True:
        packs = windows(sequences, length, rng)
        for at in range(0, len(packs) - rows + 1, rows):
            ids = torch.tensor(packs[at : at + rows])
            yield {"input_ids": ids, "labels": ids}
