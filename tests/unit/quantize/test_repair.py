"""The search for a plan that passes, over sites and a gate that are written down here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from onnxpress_exporter.precisions.row import Blocks, Integers, Treatment
from onnxpress_exporter.quantize.plan import Attempt, Place, Plan, raised
from onnxpress_exporter.quantize.repair import Found, search
from onnxpress_exporter.quantize.thresholds import Verdict

LADDER: tuple[Treatment, ...] = (Blocks(4), Blocks(4, 16), Blocks(8))
SITES: Mapping[Place, Sequence[str]] = {("model", f"value {n}"): (f"product {n}",) for n in range(6)}
#: What each site harms, whatever its treatment; the first is as bad as all others together.
HARMS = {place: 10.0 if number == 0 else 1.0 for number, place in enumerate(SITES)}
PASSED, FAILED = Verdict({"cosine": 1.0}, ()), Verdict({"cosine": 0.5}, ("cosine 0.5, at least 0.9 is needed",))


class Gate:
    """Passes what it is told to, and counts what it is asked."""

    def __init__(self, passes: Sequence[Plan] = ()) -> None:
        self.passes = list(passes)
        self.judged: list[Plan] = []
        self.measured: list[Plan] = []

    def judge(self, attempt: Attempt) -> Verdict:
        self.judged.append(attempt.plan)
        return PASSED if attempt.plan in self.passes else FAILED

    def harm(self, plan: Plan) -> float:
        self.measured.append(plan)
        return HARMS[next(iter(plan))]

    def search(self, *plans: Plan, time_s: float = 60.0, ladder: Sequence[Treatment] = LADDER) -> Found:
        attempts = [Attempt(f"attempt {number}", "", plan) for number, plan in enumerate(plans)]
        return search(attempts, ladder, SITES, self.judge, self.harm, time_s=time_s, say=lambda what: None)


def cheapest() -> dict[Place, Treatment]:
    return dict.fromkeys(SITES, LADDER[0])


def test_what_passes_at_first_is_not_measured() -> None:
    gate = Gate([cheapest()])
    found = gate.search(cheapest())
    assert (found.plan, found.verdict, found.rounds) == (cheapest(), PASSED, ("attempt 0: passed",))
    assert not gate.measured


def test_the_site_that_harms_most_is_treated_more_exactly() -> None:
    worst = next(iter(SITES))
    better = cheapest() | {worst: Blocks(4, 16)}
    gate = Gate([better])
    found = gate.search(cheapest())
    assert found.plan == better and found.verdict.passed
    assert found.rounds[-1] == "1 more exactly: product 0: passed"
    assert gate.measured == [{place: LADDER[0]} for place in SITES]


def test_a_graph_without_sites_is_judged_once() -> None:
    """The same empty plan would be judged until the time is over."""
    gate = Gate()
    found = gate.search({})
    assert gate.judged == [{}] and not found.verdict.passed
    assert found.rounds[-1] == "no product is left that could be treated more exactly"


def test_no_site_is_looked_at_when_the_time_is_over() -> None:
    gate = Gate()
    found = gate.search(cheapest(), time_s=0)
    assert gate.judged == [cheapest()] and not gate.measured
    assert found.rounds[-1] == "the time given, 0 s, was over"


def test_sites_are_not_treated_one_by_one_without_a_ladder() -> None:
    gate = Gate()
    assert gate.search({}, ladder=()).rounds == (f"attempt 0: {FAILED.missed[0]}",)
    assert gate.judged == [{}]


def test_the_search_ends_where_too_little_is_left() -> None:
    gate = Gate()
    found = gate.search(cheapest())
    assert found.rounds[-1] == "too few sites would be left to save anything"
    assert len(found.plan) >= 0.34 * len(SITES)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Blocks(4), Blocks(4, 16)),
        (Blocks(8), None),
        (Blocks(4, 128, symmetric=True), Blocks(4)),
        (Blocks(4, 32, symmetric=True), Blocks(4)),
        (Blocks(8, 32, symmetric=True), Blocks(8)),
    ],
)
def test_a_step_is_the_next_of_the_ladder_with_as_many_bits(before: Treatment, after: Treatment | None) -> None:
    place = ("model", "value")
    assert raised({place: before}, LADDER, [place]).get(place) == after


def test_integers_become_blocks_then_nothing() -> None:
    place, ladder = ("model", "value"), (Integers(each_row=False), Integers(), Blocks(8))
    assert raised({place: Integers()}, ladder, [place]) == {place: Blocks(8)}
    assert raised({place: Blocks(8)}, ladder, [place]) == {}
