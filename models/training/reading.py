"""What sees a word is first taught alone: which letter stands in each column of a picture, and the how manieth it is.

A decoder that looks at states which say so learns to read in minutes; from nothing, it learns in no reasonable time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import torch
from torch import Tensor, nn

from training.loop import Batch, Schedule, fit

#: Where the letters of a word stand, from 0 to 1.
Places = Sequence[tuple[float, float]]


def columns(words: Sequence[str], places: Sequence[Places], letters: str, count: int) -> Tensor:
    """int64 (words, columns, 2): the letter in each column's middle and its place in the word, from 1; 0 beside it."""
    targets = torch.zeros(len(words), count, 2, dtype=torch.int64)
    for row, (word, spans) in enumerate(zip(words, places, strict=True)):
        for place, (letter, (begin, end)) in enumerate(zip(word, spans, strict=True), 1):
            for column in range(count):
                if begin <= (column + 0.5) / count < end:
                    targets[row, column] = torch.tensor([letters.index(letter) + 1, place])
    return targets


class _Columns(nn.Module):
    """An encoder of pictures with two heads over its columns; its first state is of no column."""

    def __init__(self, encoder: Any, letters: int, places: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.letters = nn.Linear(encoder.config.hidden_size, letters)
        self.places = nn.Linear(encoder.config.hidden_size, places)

    def loss(self, values: Tensor, targets: Tensor) -> Tensor:
        states = self.encoder(pixel_values=values).last_hidden_state[:, 1:]
        letter = nn.functional.cross_entropy(self.letters(states).flatten(0, 1), targets[..., 0].flatten())
        place = nn.functional.cross_entropy(self.places(states).flatten(0, 1), targets[..., 1].flatten())
        return letter + place


def teach_columns(encoder: Any, values: Tensor, targets: Tensor, schedule: Schedule, rng: Random, title: str) -> None:
    """Teach an encoder of pictures, float32 (pictures, 3, height, width), what `columns` says of them."""
    letters, places = (int(targets[..., kind].max()) + 1 for kind in (0, 1))
    names = {"values": values, "targets": targets}
    fit(_Columns(encoder, letters, places), picked(names, schedule, rng), schedule, title, _loss)


def _loss(model: Any, batch: Batch) -> Tensor:
    loss: Tensor = model.loss(**batch)
    return loss


def picked(arrays: Batch, schedule: Schedule, rng: Random) -> Iterator[Batch]:
    """Endless batches of rows by chance."""
    count = len(next(iter(arrays.values())))
    while True:
        rows = torch.tensor([rng.randrange(count) for _ in range(schedule.batch_rows)])
        yield {name: values[rows] for name, values in arrays.items()}
