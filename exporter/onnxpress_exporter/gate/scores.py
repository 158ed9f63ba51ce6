"""The gate of graphs that write text: compares their scores and their tokens with the reference's.

Scores of every token are compared, the text read at once, in pieces, token by token, and beside other rows, where they
have to be the row's own alone; errors are fractions of the range of all scores. Then the likeliest tokens are: where
the reference prefers another token, its two scores have to be so near that the error allowed explains it, and it goes
on from the reference's. Knows neither torch nor a graph.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from onnxpress.format.manifest import Quality
from onnxpress.format.precisions import REFERENCE
from onnxpress_exporter.gate.cases import Case
from onnxpress_exporter.gate.comparison import Arrays, Comparison, failed
from onnxpress_exporter.gate.graphs import Graphs
from onnxpress_exporter.gate.lengths import USUAL_EXTENT, Extent
from onnxpress_exporter.precisions import PRECISIONS

Logits = NDArray[np.float32]

_SCORES = "scores"

#: Tokens that are written of each text.
WRITTEN = 24
#: Rows that are read side by side, and tokens that all of them then read one at a time.
ROWS, STEPS = 4, 4
#: Tokens at the end of the longest text whose scores are compared.
END = 64
#: Each of two scores may be off by the error that is allowed: what is nearer than twice that may change places.
NEAR_TIE = 2.0
#: Beams, and texts that are written with them after an encoder.
BEAMS, BEAM_TEXTS = 4, 4


class Writes(Protocol):
    """A model that writes: PyTorch's, or graphs."""

    name: str

    def logits(self, case: Case, last: int | None = None) -> Logits:
        """float32 (tokens, vocabulary): what may follow each of the case's tokens, or of the `last` ones."""

    def write(self, case: Case, count: int, beams: int = 1) -> list[int]:
        """The tokens that follow, the likeliest first of all, at most `count`."""

    def step_logits(self, case: Case) -> Logits | None:
        """As `logits`, read token by token; None: it is read in one way only."""


class _Named:
    """What is left of a reference that is asked no more."""

    def __init__(self, name: str) -> None:
        self.name = name

    def logits(self, case: Case, last: int | None = None) -> Logits:
        raise AssertionError(f"{self.name} is asked no more")

    def write(self, case: Case, count: int, beams: int = 1) -> list[int]:
        raise AssertionError(f"{self.name} is asked no more")

    def step_logits(self, case: Case) -> Logits | None:
        return None


class Expected:
    """The reference's scores of every case, kept for every variant; of the `far` one those of its end."""

    def __init__(
        self, reference: Writes, cases: Sequence[Case], far: Case | None = None, extent: Extent = USUAL_EXTENT
    ) -> None:
        self.reference = reference
        self.extent = extent
        self.cases = cases
        self.logits = [reference.logits(case) for case in cases]
        self.far = far
        self.far_logits = None if far is None else reference.logits(far, END)
        self._rounding: dict[Case, float] = {}

    def forget_reference(self) -> None:
        """Let go of the reference, which may hold all weights, and of its scores that no variant is compared with: fp32
        is verified, and the other answers are here."""
        self.reference = _Named(self.reference.name)
        known = dict(zip(self.cases, self.logits, strict=True))
        self.cases = self._of_variants()
        self.logits = [known[case] for case in self.cases]

    def asked_of(self, precision: str) -> Sequence[Case]:
        """The cases that a variant is compared on, the `far` one apart."""
        return self.cases if precision == REFERENCE else self._of_variants()

    def _of_variants(self) -> Sequence[Case]:
        return _within(self.cases, self.extent.of_variants)

    def far_of(self, precision: str) -> Case | None:
        """The `far` case where a variant is compared on it."""
        return self.far if precision == REFERENCE or self.extent.of_variants is None else None

    @property
    def longest(self) -> Case:
        """The case of most tokens."""
        return max(self.cases, key=lambda case: len(case.ids) + len(case.source or ()))

    def rounding(self, case: Case) -> float:
        """Of the range: how far the reference's scores of a case lie apart, read whole and token by token."""
        if case not in self._rounding:
            stepped = self.reference.step_logits(case)
            whole = self.logits[self.cases.index(case)]
            apart = 0.0 if stepped is None else float(np.abs(stepped - whole).max())
            self._rounding[case] = apart / self.range
        return self._rounding[case]

    @property
    def range(self) -> float:
        """The largest score less the least."""
        return max(max(float(logits.max() - logits.min()) for logits in self.logits), 1e-6)


def verify(precision: str, expected: Expected, graphs: Graphs) -> Quality:
    """Compare graphs with the reference on every case.

    The tokens they write are compared for fp32 alone: of a smaller variant they may differ, which `judge` measures.

    Raises:
        VerificationFailed: an error is above its limit, or another token was written; names the text and the position.
    """
    cases, far, limits = expected.asked_of(precision), expected.far_of(precision), PRECISIONS[precision].limits
    divided = _within(cases, expected.extent.in_pieces)
    scores = dict(zip(expected.cases, expected.logits, strict=True))
    # One token and many are products of other shapes, which add up in another order.
    between = max(limits.batch_error, 1e-4)
    compared = Comparison(precision, {_SCORES: expected.range}, limits.max_error, between, _place)
    for case in cases:
        logits = scores[case]
        compared.rounding = partial(expected.rounding, case)
        alone = graphs.logits(case)
        compared.beside_reference(f"{case.name!r} read at once, against the reference", _of(alone), _of(logits))
        if len(case.ids) > 2 and case in divided:
            obtained, first = _in_pieces(graphs, case)
            where = f"{case.name!r} read in pieces, against"
            compared.beside_reference(f"{where} the reference", _of(obtained), _of(logits[first:]))
            # Where activations are rounded to 8 bits, the last digit of a float decides now and then to which number:
            # such a step's error is no dependence on other rows, and is not counted as one.
            compared.check(f"{where} the same text read at once", _of(obtained), _of(alone[first:]), between)
    compared.rounding = float
    if far is not None and expected.far_logits is not None:
        obtained = graphs.logits(far, END)
        compared.beside_reference(f"{far.name!r}, against the reference", _of(obtained), _of(expected.far_logits))
    for group in _groups(divided):
        rows = _even([divided[i] for i in group]) if graphs.start is not None else [divided[i] for i in group]
        steps_alone = [{first: scores for _, scores, first in _together(graphs, [row])} for row in rows]
        for row, obtained, first in _together(graphs, rows):
            compared.rounding = partial(expected.rounding, divided[group[row]])
            where = f"{rows[row].name!r} beside {len(rows) - 1} others, against"
            logits = scores[divided[group[row]]][first : first + 1]
            compared.beside_reference(f"{where} the reference", _of(obtained), _of(logits))
            compared.beside_alone(f"{where} the same text alone", _of(obtained), _of(steps_alone[row][first]))
    if precision == REFERENCE:
        margin = NEAR_TIE * limits.max_error * expected.range
        for number, case in enumerate(_short(cases)[: max(expected.extent.written, BEAM_TEXTS)]):
            if number < expected.extent.written:
                _same_tokens(precision, expected.reference, graphs, case, margin)
            if number < BEAM_TEXTS and graphs.start is not None:
                _same_beams(precision, expected.reference, graphs, case, margin)
    return compared.quality(expected.reference.name, len(cases) + (far is not None))


def _within(cases: Sequence[Case], most: int | None) -> Sequence[Case]:
    """The cases of at most so many tokens; all, if none is."""
    chosen = [case for case in cases if most is None or len(case.ids) + len(case.text or ()) <= most]
    return chosen or cases


def _of(logits: Logits) -> Arrays:
    return {_SCORES: logits}


def _place(name: str, at: tuple[int, ...]) -> str:
    return f"the score of token {at[1]} after position {at[0]}"


def _in_pieces(graphs: Graphs, case: Case) -> tuple[Logits, int]:
    """Scores from some position on: half of the text at once, a piece, then single tokens; with one step taken back."""
    half, steps = max(1, len(case.ids) // 2), min(STEPS, len(case.ids) // 3)
    middle = len(case.ids) - steps
    decoder = graphs.opened([case])
    pieces = [decoder.prefill(0, case.ids[:half])]
    if middle > half:
        pieces.append(decoder.prefill(0, case.ids[half:middle], middle - half))
    for place in range(middle, len(case.ids)):
        if place == middle + 1:  # a wrong token is read and forgotten
            decoder.step(np.array([case.ids[0]], np.int64))
            decoder.truncate(0, place)
        pieces.append(decoder.step(np.array([case.ids[place]], np.int64)).copy())
    decoder.close()
    return np.concatenate(pieces), half - 1


def _groups(cases: Sequence[Case]) -> Iterator[list[int]]:
    """Rows that stand side by side: of very different length, and all kinds of text."""
    order = sorted(range(len(cases)), key=lambda i: len(cases[i].ids))
    order = [i for i in order if len(cases[i].ids) > STEPS + 1]
    keys = Counter(cases[i].key for i in order)
    order = [i for i in order if cases[i].key == keys.most_common(1)[0][0]]
    if len(order) > 1:
        yield [order[0], order[-1]]
        yield order[: 2 * ROWS : 2] or order[:1]


def _even(cases: Sequence[Case]) -> list[Case]:
    """Cut cases to one length, as rows are whose texts were read whole."""
    shortest = min(len(case.ids) for case in cases)
    return [replace(case, ids=case.ids[:shortest]) for case in cases]


def _together(graphs: Graphs, cases: Sequence[Case]) -> Iterator[tuple[int, Logits, int]]:
    """(case, scores of one position, which): rows read one by one, then a token of every row at a time.

    After half of the steps the rows are turned round.
    """
    decoder = graphs.opened(cases)
    for row, case in enumerate(cases):
        decoder.prefill(row, case.ids[:-STEPS])
    rows = list(range(len(cases)))
    for step in range(STEPS):
        # Rows of several texts stay where they are: a text's rows stand side by side.
        if step == STEPS // 2 and graphs.start is None:
            rows.reverse()
            decoder.select(rows)
        places = [len(cases[row].ids) - STEPS + step for row in rows]
        ids = np.array([cases[row].ids[place] for row, place in zip(rows, places, strict=True)], np.int64)
        logits = decoder.step(ids).copy()
        for at, row in enumerate(rows):
            yield row, logits[at : at + 1], places[at]
    decoder.close()


def _short(cases: Sequence[Case]) -> list[Case]:
    return [case for case in cases if len(case.ids) <= 64]


def _same_tokens(precision: str, reference: Writes, graphs: Graphs, case: Case, margin: float) -> None:
    """Write on greedily, as the reference does; near ties aside, with the same tokens."""
    begun = _begun(case)
    room = _room(graphs, begun)
    tokens = reference.write(begun, room) if room else []
    if not tokens:
        return
    preferred = reference.logits(begun.followed_by(tokens))[len(begun.ids) - 1 :]
    decoder = graphs.opened([begun], len(tokens))
    decoder.mark_prompt(0, len(begun.ids))
    scores = decoder.prefill(0, begun.ids)[0]
    for place, token in enumerate(tokens):
        obtained = int(scores.argmax())
        lead = float(preferred[place, token] - preferred[place, obtained])
        if obtained != token and not abs(lead) <= margin:
            raise failed(
                precision,
                f"{case.name!r}, writing on",
                f"token {place + 1} after {len(begun.ids)}: expected {token}, obtained {obtained}, which the reference "
                f"scores {lead:.3g} lower (at most {margin:.1g} would be a tie)",
            )
        if place + 1 < len(tokens):
            scores = decoder.step(np.array([token], np.int64))[0]
    decoder.close()


def _same_beams(precision: str, reference: Writes, graphs: Graphs, case: Case, margin: float) -> None:
    """Search with beams, as the reference does: the same text, or one that it finds as likely, near ties aside."""
    begun = _begun(case)
    room = _room(graphs, begun)
    if not room:
        return
    tokens, obtained = reference.write(begun, room, BEAMS), graphs.write(begun, room, BEAMS)
    if tokens == obtained or not tokens:
        return
    likely, other = (_likelihood(reference, begun, some) for some in (tokens, obtained))
    if not likely - other <= margin:
        place = next((i for i, (a, b) in enumerate(zip(tokens, obtained, strict=False)) if a != b), len(obtained))
        raise failed(
            precision,
            f"{case.name!r}, with {BEAMS} beams",
            f"from token {place + 1} on expected {tokens[place : place + 6]}, obtained {obtained[place : place + 6]}, "
            f"which the reference scores {likely - other:.3g} lower (at most {margin:.1g} would be a tie)",
        )


def _likelihood(reference: Writes, begun: Case, ids: Sequence[int]) -> float:
    """The mean logarithm of the tokens' probabilities."""
    if not ids:
        return float("-inf")
    rows = reference.logits(begun.followed_by(ids))[len(begun.ids) - 1 : -1].astype(np.float64)
    rows -= rows.max(axis=1, keepdims=True)
    logarithms = rows[np.arange(len(ids)), list(ids)] - np.log(np.exp(rows).sum(axis=1))
    return float(logarithms.mean())


def _begun(case: Case) -> Case:
    """Cut a case to what is there before writing: after an encoder the decoder's first token, else the text."""
    return case if case.source is None else replace(case, ids=case.ids[:1])


def _room(graphs: Graphs, begun: Case) -> int:
    """Tokens that may follow: what the model takes bounds them."""
    return WRITTEN if graphs.limit is None else max(0, min(WRITTEN, graphs.limit - len(begun.ids)))
