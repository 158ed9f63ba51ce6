"""The tokens of moments: runs of one id, between which a blank may stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens, and of each the moments [start, end) that it was heard in: int64 (tokens,) each."""

    ids: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]


def collapsed(ids: Sequence[int], blank: int, *, group: bool = True) -> list[int]:
    """The tokens that moments stand for: one for neighbours of one id (unless they are not to be grouped), none for
    blanks."""
    numbers = [number for number, _ in groupby(ids)] if group else ids
    return [number for number in numbers if number != blank]


def tokens_of(ids: NDArray[np.integer], blank: int) -> Tokens:
    """As `collapsed`, of integers (moments,), with the moments of each."""
    if not len(ids):
        nothing = np.zeros(0, np.int64)
        return Tokens(nothing, nothing, nothing)
    starts = np.flatnonzero(np.concatenate(([True], ids[1:] != ids[:-1])))
    ends = np.append(starts[1:], len(ids))
    numbers = ids[starts].astype(np.int64)
    spoken = numbers != blank
    return Tokens(numbers[spoken], starts[spoken], ends[spoken])


def words_of(delimits: NDArray[np.bool_]) -> list[slice]:
    """Where words stand in a row of tokens: what is between those that delimit, bool (tokens,)."""
    inside = np.concatenate(([False], ~delimits, [False])).astype(np.int8)
    steps = np.diff(inside)
    return [slice(a, b) for a, b in zip(np.flatnonzero(steps == 1), np.flatnonzero(steps == -1), strict=True)]
