"""What may come next: rules that change the scores of one sequence's next token, in place.

A rule takes the text so far and float32 (vocabulary) scores; what may not come gets minus infinity. Semantics are
those of transformers' logits processors and warpers. Presence and frequency penalties, which it lacks, are those of the
OpenAI API: they count what was generated, not the prompt. Knows no graph and draws nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxpress.generation.largest import best_places
from onnxpress.math import softmax

Scores = NDArray[np.float32]
Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Written:
    """`ids` int64 (tokens): the prompt's, and after the first `prompt` of them what was generated."""

    ids: Ids
    prompt: int

    @property
    def generated(self) -> Ids:
        """int64 (new tokens)."""
        return self.ids[self.prompt :]


Rule = Callable[[Written, Scores], None]
FEW = 256


def repetition_penalty(penalty: float) -> Rule:
    """Scores of tokens that occurred are divided by `penalty`, negative ones multiplied.

    (Keskar, McCann, Varshney, Xiong, Socher: CTRL, 2019.)
    """

    def rule(written: Written, scores: Scores) -> None:
        # A token that occurred twice is read twice before either is written: no need to find it once.
        seen = written.ids[written.ids < len(scores)]
        before = scores[seen]
        scores[seen] = np.where(before < 0, before * penalty, before / penalty)

    return rule


def added(bias: Mapping[int, float]) -> Rule:
    """Each of these tokens gets so much more score: OpenAI's `logit_bias`."""
    places = np.array(list(bias), np.int64)
    numbers = np.array(list(bias.values()), np.float32)

    def rule(written: Written, scores: Scores) -> None:
        known = places < len(scores)
        scores[places[known]] += numbers[known]

    return rule


def occurrence_penalty(presence: float, frequency: float) -> Rule:
    """`presence` is taken off tokens that were generated, `frequency` off for each time."""

    def rule(written: Written, scores: Scores) -> None:
        seen, counts = np.unique(written.generated[written.generated < len(scores)], return_counts=True)
        scores[seen] -= (presence + frequency * counts).astype(np.float32)

    return rule


def no_repeated_ngram(size: int) -> Rule:
    """No `size` tokens in a row come twice."""

    def rule(written: Written, scores: Scores) -> None:
        last = written.ids[places_after(written.ids, size - 1)]
        scores[last[last < len(scores)]] = -np.inf

    return rule


def no_words(words: Sequence[Sequence[int]]) -> Rule:
    """None of these sequences of tokens is completed."""
    alone = np.array(sorted({word[0] for word in words if len(word) == 1}), np.int64)
    longer = [np.array(word, np.int64) for word in words if len(word) > 1]

    def rule(written: Written, scores: Scores) -> None:
        scores[alone[alone < len(scores)]] = -np.inf
        for word in longer:
            begun = word[:-1]
            if len(begun) <= len(written.ids) and np.array_equal(written.ids[-len(begun) :], begun):
                scores[word[-1:][word[-1:] < len(scores)]] = -np.inf

    return rule


def not_before(count: int, ends: Collection[int]) -> Rule:
    """None of the tokens `ends` among the first `count` that are generated."""
    places = np.array(sorted(ends), np.int64)

    def rule(written: Written, scores: Scores) -> None:
        if len(written.generated) < count:
            scores[places[places < len(scores)]] = -np.inf

    return rule


def not_again(ids: Sequence[int], size: int) -> Rule:
    """No `size` tokens in a row that stand in `ids`: of what an encoder read."""
    follow: dict[tuple[int, ...], list[int]] = {}
    for start in range(len(ids) - size + 1):
        follow.setdefault(tuple(ids[start : start + size - 1]), []).append(ids[start + size - 1])
    banned = {begun: np.unique(last) for begun, last in follow.items()}

    def rule(written: Written, scores: Scores) -> None:
        begun = written.ids[len(written.ids) + 1 - size :].tolist() if len(written.ids) + 1 >= size else None
        last = None if begun is None else banned.get(tuple(begun))
        if last is not None:
            scores[last[last < len(scores)]] = -np.inf

    return rule


def never(tokens: Collection[int], place: int | None = None) -> Rule:
    """None of these tokens; with `place`: not as the one of that number (from 0) that is generated."""
    places = np.array(sorted(tokens), np.int64)

    def rule(written: Written, scores: Scores) -> None:
        if place is None or len(written.generated) == place:
            scores[places[places < len(scores)]] = -np.inf

    return rule


def forced(place: int, tokens: Sequence[int]) -> Rule:
    """One of these tokens and no other as the one number `place` (from 0) that is generated."""
    places = np.array(tokens, np.int64)

    def rule(written: Written, scores: Scores) -> None:
        if len(written.generated) == place:
            scores[:] = -np.inf
            scores[places[places < len(scores)]] = 0

    return rule


def numbers_only() -> Rule:
    """What is no number becomes 0, what is infinite the largest or smallest number."""

    def rule(written: Written, scores: Scores) -> None:
        np.nan_to_num(scores, copy=False)

    return rule


def temperature(value: float) -> Rule:
    """Scores over `value`: above 1 evens them out, below 1 sharpens them."""

    def rule(written: Written, scores: Scores) -> None:
        scores /= np.float32(value)

    return rule


def top_k(count: int) -> Rule:
    """Only the `count` best, and what equals the last of them. (Fan, Lewis, Dauphin, ACL 2018.)"""

    def rule(written: Written, scores: Scores) -> None:
        places = best_places(scores, count)
        numbers = scores[places]
        scores[:] = -np.inf
        scores[places] = numbers

    return rule


def top_p(mass: float, least: int = 1) -> Rule:
    """Only the fewest best that together have this probability. (Holtzman, Buys, Du, Forbes, Choi, ICLR 2020.)"""

    def rule(written: Written, scores: Scores) -> None:
        places = nucleus(scores, mass, least)
        numbers = scores[places]
        scores[:] = -np.inf
        scores[places] = numbers

    return rule


def nucleus(scores: Scores, mass: float, least: int = 1) -> NDArray[np.intp]:
    """Places in float32 (n) of the fewest best that together have this probability; of equal ones any."""
    highest = scores.max()
    total = np.exp(scores - highest).sum()
    # Most often a few have nearly all of it, and those alone need sorting.
    places = best_places(scores, FEW)
    places = places[np.argsort(-scores[places])]
    better = np.cumsum(np.exp(scores[places] - highest)) / total
    if better[-1] >= mass or len(places) == len(scores):
        # One is dropped when those that are better have the mass already.
        return places[: max(int(np.searchsorted(better, mass)) + 1, least)]
    # Numbers alone are sorted several times faster than places by them.
    numbers = np.sort(scores)[::-1]
    better = np.cumsum(np.exp(numbers - highest)) / total
    width = min(max(int(np.searchsorted(better, mass)) + 1, least), len(scores))
    lowest = numbers[width - 1]
    above = np.flatnonzero(scores > lowest)
    return np.concatenate([above, np.flatnonzero(scores == lowest)[: width - len(above)]])


def min_p(share: float, least: int = 1) -> Rule:
    """Only what has at least this share of the best one's probability. (Nguyen and others, ICLR 2025.)"""

    def rule(written: Written, scores: Scores) -> None:
        lowest = scores.max() + np.log(np.float32(share))
        if 1 < least < len(scores):
            lowest = min(lowest, np.partition(scores, -least)[-least])
        scores[scores < lowest] = -np.inf

    return rule


def typical_p(mass: float, least: int = 1) -> Rule:
    """Only the fewest together of this probability whose surprise is nearest to the expected one.

    (Meister, Pimentel, Wiher, Cotterell: Locally Typical Sampling, TACL 2023.)
    """

    def rule(written: Written, scores: Scores) -> None:
        alive = np.flatnonzero(np.isfinite(scores))
        probabilities = softmax(scores[alive])
        logarithms = scores[alive] - scores[alive].max()
        logarithms -= np.log(np.exp(logarithms).sum())
        surprise = np.abs(-logarithms + (probabilities * logarithms).sum())
        order = np.argsort(surprise, kind="stable")
        last = min(int((np.cumsum(probabilities[order]) < mass).sum()), len(order) - 1)
        dropped = surprise[order] > surprise[order[last]]
        dropped[:least] = False
        scores[alive[order[dropped]]] = -np.inf

    return rule


def places_after(ids: Ids, size: int) -> NDArray[np.intp]:
    """Places in `ids` int64 (tokens) that follow an earlier occurrence of the last `size` tokens, in order."""
    if len(ids) <= size or not size:
        return np.arange(0 if size else len(ids))
    same = ids[size - 1 : -1] == ids[-1]
    for back in range(2, size + 1):
        same &= ids[size - back : -back] == ids[-back]
    return np.flatnonzero(same) + size
