"""Picks the next tokens of rows that are written side by side: the best one of each, or one drawn.

Rows that are drawn alike are drawn together, in one pass over what is left of them; what a row gets is what it gets
alone, to the last bit. Of long rows the few that may come are chosen first, without sorting the row: what has no chance
adds nothing to a sum, so the draws are those over all of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from onnxpress.errors import InputError
from onnxpress.generation.largest import LONG, Places, Rows, best_places
from onnxpress.generation.rules import Scores, Written, nucleus, typical_p

_NOTHING_WRITTEN = Written(np.empty(0, np.int64), 0)


@dataclass(frozen=True, slots=True)
class DrawKind:
    """How tokens are drawn: among the `top_k` best (0: all), and so on, in this order."""

    top_k: int = 0
    temperature: float = 1.0
    top_p: float = 1.0
    min_p: float = 0.0
    typical_p: float = 1.0


@dataclass(frozen=True, slots=True)
class Draw:
    """How one text's tokens are drawn; `random` is its own."""

    random: np.random.Generator
    kind: DrawKind


def pick(scores: Scores, draw: Draw | None) -> int:
    """Pick the best token, or draw one. May change the scores, float32 (vocabulary).

    Raises:
        InputError: nothing may come, or the scores are no numbers.
    """
    best = int(scores.argmax())
    if (problem := _problem(scores[best])) is not None:
        raise problem
    return best if draw is None else _drawn([scores], draw.kind, [draw.random])[0]


def pick_each(rows: Sequence[Scores], draws: Sequence[Draw | None]) -> list[int | InputError]:
    """The same for each of some rows; an error in the place of a token that cannot be picked."""
    picked: list[int | InputError] = []
    alike: dict[DrawKind, list[int]] = {}
    for number, (scores, draw) in enumerate(zip(rows, draws, strict=True)):
        best = int(scores.argmax())
        problem = _problem(scores[best])
        picked.append(best if problem is None else problem)
        if draw is not None and problem is None:
            alike.setdefault(draw.kind, []).append(number)
    for kind, numbers in alike.items():
        randoms = [draw.random for number in numbers if (draw := draws[number]) is not None]
        for number, token in zip(numbers, _drawn([rows[number] for number in numbers], kind, randoms), strict=True):
            picked[number] = token
    return picked


def _problem(best: np.float32) -> InputError | None:
    # A NaN is the largest to numpy, and compares as false.
    if best > -np.inf:
        return None
    return InputError(
        "no token may come next: the rules of this call exclude every one"
        if best == -np.inf
        else "the model's scores are not numbers: its weights, or this precision of them, are broken"
    )


def _drawn(rows: Sequence[Scores], kind: DrawKind, randoms: Sequence[np.random.Generator]) -> list[int]:
    """Draw a token of each row with the probability that its score gives it. May change the scores."""
    chosen: list[Places] | None = None
    top_p, min_p, heat, size = kind.top_p, kind.min_p, kind.temperature, len(rows[0])
    if 0 < kind.top_k < size:
        # Which are best, a temperature does not change.
        chosen = [best_places(row, kind.top_k) for row in rows]
        if len(rows) > 1 and len({len(places) for places in chosen}) > 1:  # more than so many, where some are equal
            return [_drawn([row], kind, [random])[0] for row, random in zip(rows, randoms, strict=True)]
    elif size > LONG:
        if heat != 1:
            for row in rows:
                row /= np.float32(heat)
            heat = 1.0
        if top_p < 1:
            chosen, top_p = [np.sort(nucleus(row, top_p)) for row in rows], 1.0
        elif min_p:
            chosen, min_p = [np.flatnonzero(row >= row.max() + np.log(np.float32(min_p))) for row in rows], 0.0
        elif len(rows) > 1:  # nothing is gained by a pass over all of several long rows
            rest = DrawKind(typical_p=kind.typical_p)
            return [_drawn([row], rest, [random])[0] for row, random in zip(rows, randoms, strict=True)]
    scores = _table(rows, chosen)
    if heat != 1:
        scores /= np.float32(heat)
    if top_p < 1:
        for row in scores:
            places = nucleus(row, top_p)
            numbers = row[places]
            row[:] = -np.inf
            row[places] = numbers
    highest = scores.max(axis=1, keepdims=True)
    if min_p:
        scores[scores < highest + np.log(np.float32(min_p))] = -np.inf
    if kind.typical_p < 1:
        rule = typical_p(kind.typical_p)
        for row in scores:
            rule(_NOTHING_WRITTEN, row)
        highest = scores.max(axis=1, keepdims=True)
    # float64: a sum of many small float32 would lose the last of them.
    mass = np.cumsum(np.exp(scores - highest), axis=1, dtype=np.float64)
    tokens: list[int] = []
    for number, (random, sums) in enumerate(zip(randoms, mass, strict=True)):
        place = int(sums.searchsorted(random.random() * sums[-1], side="right"))
        tokens.append(place if chosen is None else int(chosen[number][place]))
    return tokens


def _table(rows: Sequence[Scores], chosen: Sequence[Places] | None) -> Rows:
    """float32 (rows, most that were chosen of one): the scores, minus infinity behind those of a row with fewer."""
    if len(rows) == 1:
        return (rows[0] if chosen is None else rows[0][chosen[0]])[None]
    if chosen is None:
        return np.stack(rows)
    table = np.full((len(rows), max(map(len, chosen))), -np.inf, np.float32)
    for line, row, places in zip(table, rows, chosen, strict=True):
        line[: len(places)] = row[places]
    return table
