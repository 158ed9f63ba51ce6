"""Tokens of rows that are drawn together are those of each alone, and those of the rules over whole rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxpress.errors import InputError
from onnxpress.generation import rules
from onnxpress.generation.drawing import Draw, DrawKind, pick, pick_each
from onnxpress.generation.rules import Written, nucleus

NOTHING = Written(np.empty(0, np.int64), 0)


def by_rules(scores: np.ndarray, draw: Draw) -> int:
    """The token that the rules over a whole row draw."""
    kind = draw.kind
    for rule in (
        *([rules.top_k(kind.top_k)] if kind.top_k else []),
        *([rules.temperature(kind.temperature)] if kind.temperature != 1 else []),
        *([rules.top_p(kind.top_p)] if kind.top_p < 1 else []),
        *([rules.min_p(kind.min_p)] if kind.min_p else []),
        *([rules.typical_p(kind.typical_p)] if kind.typical_p < 1 else []),
    ):
        rule(NOTHING, scores)
    mass = np.cumsum(np.exp(scores - scores.max()), dtype=np.float64)
    return int(np.searchsorted(mass, draw.random.random() * mass[-1], side="right"))


KINDS = [
    DrawKind(),
    DrawKind(top_k=7),
    DrawKind(temperature=0.7),
    DrawKind(top_p=0.9),
    DrawKind(top_k=300, temperature=1.3, top_p=0.8, min_p=0.01),
    DrawKind(min_p=0.1, temperature=1.2),
    DrawKind(typical_p=0.6, top_k=50),
    DrawKind(typical_p=0.9, top_p=0.95),
]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.none() | st.sampled_from(KINDS), min_size=1, max_size=9),
    st.sampled_from([3, 40, 2000, 6000]),
    st.sampled_from([0.2, 3.0]),
    st.booleans(),
    st.integers(0, 2**32),
)
def test_rows_together_are_rows_alone(
    kinds: list[DrawKind | None], size: int, spread: float, ties: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    scores = (rng.standard_normal((len(kinds), size)) * spread).astype(np.float32)
    if ties:
        scores = np.round(scores, 1)

    def draws() -> list[Draw | None]:
        return [None if kind is None else Draw(np.random.default_rng(seed), kind) for kind in kinds]

    alone = [pick(row.copy(), draw) for row, draw in zip(scores, draws(), strict=True)]
    assert pick_each(list(scores.copy()), draws()) == alone
    if not ties:  # of equal ones the rules may keep others
        expected = [
            int(row.argmax()) if draw is None else by_rules(row.copy(), draw)
            for row, draw in zip(scores, draws(), strict=True)
        ]
        assert alone == expected


@pytest.mark.parametrize(("size", "spread"), [(5000, 0.01), (5000, 5.0), (100, 1.0)])
def test_the_fewest_that_have_the_mass(size: int, spread: float) -> None:
    scores = (np.random.default_rng(1).standard_normal(size) * spread).astype(np.float32)
    for mass in (0.05, 0.5, 0.99):
        places = nucleus(scores, mass)
        shares = np.exp(scores - scores.max(), dtype=np.float64)
        shares /= shares.sum()
        assert len(set(places.tolist())) == len(places)
        assert shares[places].sum() >= mass - 1e-3
        assert shares[places].sum() - shares[places].min() <= mass + 1e-3
        assert scores[places].min() >= np.delete(scores, places).max(initial=-np.inf)


def test_what_cannot_be_picked_is_an_error_in_its_place() -> None:
    rows = [np.zeros(4, np.float32), np.full(4, -np.inf, np.float32), np.full(4, np.nan, np.float32)]
    good, excluded, broken = pick_each(rows, [None, Draw(np.random.default_rng(0), DrawKind()), None])
    assert good == 0
    assert isinstance(excluded, InputError) and "exclude" in str(excluded)
    assert isinstance(broken, InputError) and "not numbers" in str(broken)
    with pytest.raises(InputError):
        pick(rows[1], None)
