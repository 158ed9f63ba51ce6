"""The gate of quantized variants that write text: compares the tokens they expect with those the reference expects.

Every text is read, token by token, as it is, so that one other choice does not lead two models into different texts.
Of the reference only what is compared is kept: the tokens it prefers, how likely the text's own are, and a sample of
scores. A reference that knows next to nothing of the texts, such as one with random weights, prefers tokens by chance:
then only its scores are compared. Knows neither torch nor a graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from onnxpress_exporter.gate.cases import Case
from onnxpress_exporter.gate.scores import WRITTEN, Writes
from onnxpress_exporter.judging.figures import compare_transcripts
from onnxpress_exporter.precisions.row import Thresholds
from onnxpress_exporter.quantize.thresholds import Verdict, misses

Logits = NDArray[np.float32]
Numbers = NDArray[np.float64]

#: Tokens to the text they are of.
Read = Callable[[Sequence[int]], str]

#: Tokens whose probabilities are compared one by one; all others are compared together.
LIKELIEST = 64
#: Scores that are looked at together.
NUMBERS_AT_ONCE = 1_000_000
#: Scores of one position that are compared as numbers.
SAMPLE = 512
#: What counts as being among the reference's first.
FIRST = 5
#: A reference that is less surprised than this share of what chance would be knows something.
KNOWS = 0.9
#: Texts whose continuations are compared, after an encoder.
WRITING = 12
#: What was said is compared where the reference gives its own tokens even odds or better, in the geometric mean. Of
#: what it guesses, such as a language that it does not understand, any rounding makes another text.
SURE = float(np.log(0.5))


@dataclass(frozen=True, slots=True)
class Seen:
    """What the reference says of one text.

    Args:
        top: int64 (positions, LIKELIEST): tokens that may follow each position, the likeliest first.
        logarithms: (positions, LIKELIEST): of their probabilities.
        next_token: (positions): the logarithm of the probability of the token that does follow.
        sample: float32 (positions, SAMPLE): some scores.
    """

    top: NDArray[np.int64]
    logarithms: Numbers
    next_token: Numbers
    sample: NDArray[np.float32]


class Judge:
    """Holds the reference's answers to the judged texts.

    Args:
        writes: whether the cases' texts are what the reference writes after an encoder: then what variants write is
            compared as well.
        read: tokens to text, where what is written is what was said.

    `figures`: of the reference itself.
    """

    def __init__(self, reference: Writes, cases: Iterable[Case], *, writes: bool, read: Read | None = None) -> None:
        self._cases, self._seen, vocabulary = [], [], 1
        for case in cases:
            if len(case.ids) > 1:
                logits = reference.logits(case)
                vocabulary = logits.shape[1]
                self._cases.append(case)
                self._seen.append(_seen(logits, case))
        surprise = -float(np.mean(np.concatenate([seen.next_token for seen in self._seen])))
        self._knows = surprise < KNOWS * float(np.log(vocabulary))
        # Words are few: all that is said counts, and is no guess.
        sure = (number for number, seen in enumerate(self._seen) if seen.next_token.mean() >= SURE)
        self._written = frozenset(sure if read is not None else range(WRITING)) if writes else frozenset()
        self._read = read
        self.figures: Mapping[str, float] = {"perplexity": float(np.exp(surprise))}

    @property
    def positions(self) -> int:
        """Tokens whose successors are judged."""
        return sum(len(seen.next_token) for seen in self._seen)

    def measure(self, variant: Writes, thresholds: Thresholds) -> Verdict:
        """A variant's figures and what they miss."""
        same, among, divergence, correlation, surprise = [], [], [], [], []
        wrong = total = 0
        pairs: list[tuple[Sequence[int], Sequence[int]]] = []
        for number, (case, seen) in enumerate(zip(self._cases, self._seen, strict=True)):
            logits = variant.logits(case)[:-1]
            wrong, total = wrong + int((~np.isfinite(logits)).sum()), total + logits.size
            best = logits.argmax(axis=1)
            same.append(best == seen.top[:, 0])
            among.append((best[:, None] == seen.top[:, :FIRST]).any(axis=1))
            chances, next_token = _logarithms(logits, seen.top, case)
            divergence.append(_divergence(seen, chances))
            surprise.append(seen.next_token - next_token)
            correlation.append(_correlation(seen.sample, logits[:, _sample(logits.shape[1])]))
            if self._knows and number in self._written:
                pairs.append((case.ids[1:], variant.write(replace(case, ids=case.ids[:1]), WRITTEN)))
        if wrong:  # no text can be written by them
            return Verdict({}, (f"{wrong / total:.1%} of its scores are no numbers: it overflows",))
        means = [float(np.mean(np.concatenate(some))) for some in (same, among, divergence, correlation, surprise)]
        figures = {"scores' correlation, untrained": means[3]}
        if self._knows:
            figures = {
                "next-token agreement": means[0],
                "among the reference's first 5": means[1],
                "perplexity ratio": float(np.exp(means[4])),
                "divergence": means[2],
                "scores' correlation": means[3],
            }
            if pairs:
                figures["token agreement"] = float(np.mean([_agreement(*pair) for pair in pairs]))
            if pairs and self._read is not None:
                heard, said = ([{"text": self._read(pair[side])} for pair in pairs] for side in (0, 1))
                figures |= compare_transcripts(heard, said)
        return Verdict(figures, misses(figures, thresholds))


def _agreement(expected: Sequence[int], obtained: Sequence[int]) -> float:
    """Share of the tokens written that are the reference's, place by place."""
    same = sum(a == b for a, b in zip(expected, obtained, strict=False))
    return same / max(len(expected), len(obtained), 1)


def _seen(logits: Logits, case: Case) -> Seen:
    logits = logits[:-1]
    top = np.concatenate([_likeliest(logits[rows]) for rows in _rows(logits)])
    chances, next_token = _logarithms(logits, top, case)
    return Seen(top, chances, next_token, logits[:, _sample(logits.shape[1])].copy())


def _likeliest(logits: Logits) -> NDArray[np.int64]:
    """int64 (positions, LIKELIEST): tokens, the likeliest first."""
    count = min(LIKELIEST, logits.shape[1])
    top: NDArray[np.int64] = np.argpartition(-logits, count - 1, axis=1)[:, :count]
    order = np.argsort(-np.take_along_axis(logits, top, axis=1), axis=1, kind="stable")
    top = np.take_along_axis(top, order, axis=1)
    # The first of equal scores, as everywhere.
    top[:, 0] = logits.argmax(axis=1)
    return top


def _rows(logits: Logits) -> Iterator[slice]:
    """Positions that are looked at together: in 64 bits, all of a text's scores would be as large as a model."""
    step = max(1, NUMBERS_AT_ONCE // logits.shape[1])
    yield from (slice(row, row + step) for row in range(0, len(logits), step))


def _sample(vocabulary: int) -> NDArray[np.int64]:
    """Tokens evenly spread over the vocabulary."""
    return np.unique(np.linspace(0, vocabulary - 1, min(SAMPLE, vocabulary)).round().astype(np.int64))


def _logarithms(logits: Logits, tokens: NDArray[np.int64], case: Case) -> tuple[Numbers, Numbers]:
    """The logarithms of the probabilities of some tokens, float64 (positions, tokens), and of those that do follow."""
    chances = []
    asked = np.concatenate([tokens, np.array(case.ids[1:], np.int64)[:, None]], axis=1)
    for part in _rows(logits):
        rows = logits[part].astype(np.float64)
        rows -= rows.max(axis=1, keepdims=True)
        rows -= np.log(np.exp(rows).sum(axis=1, keepdims=True))
        chances.append(np.take_along_axis(rows, asked[part], axis=1))
    together = np.concatenate(chances)
    return together[:, :-1], together[:, -1]


def _divergence(seen: Seen, chances: Numbers) -> Numbers:
    """Kullback-Leibler divergence of each position; tokens that are not the likeliest count as one: a lower bound."""
    expected, obtained = np.exp(seen.logarithms), np.exp(chances)
    rest, other = (np.maximum(1 - some.sum(axis=1), 1e-12) for some in (expected, obtained))
    divergence: Numbers = (expected * (seen.logarithms - chances)).sum(axis=1) + rest * np.log(rest / other)
    return divergence


def _correlation(expected: NDArray[np.float32], obtained: NDArray[np.float32]) -> Numbers:
    """Pearson correlation of the scores of each position; 0 where they are no numbers."""
    a, b = (some.astype(np.float64) - some.mean(axis=1, keepdims=True) for some in (expected, obtained))
    lengths = np.sqrt(np.square(a).sum(axis=1) * np.square(b).sum(axis=1))
    correlation: Numbers = np.nan_to_num((a * b).sum(axis=1) / np.maximum(lengths, 1e-30))
    return correlation
