"""Who is computed next: clients have fair shares, nobody starves, batches keep their budget, queues are bounded."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxpress.pipelines.batching import Limits
from onnxpress.samples import Sample
from onnxpress.serve.costs import CostLine
from onnxpress.serve.errors import Overloaded, TooLarge
from onnxpress.serve.jobs import NEVER, Job, Priority, Terms
from onnxpress.serve.waiting import QueueLimits, WaitingRows

#: A batch takes a millisecond and a tenth of one for each token.
BASE_S, UNIT_S = 1e-3, 1e-4


def job(
    *lengths: int,
    client: str = "ada",
    deadline: float = NEVER,
    priority: Priority = Priority.NORMAL,
    kind: str = "",
    most: int | None = None,
) -> Job:
    """A request with rows of these lengths."""
    request = Job(Terms(client, deadline, priority), lambda samples: samples, Limits(100_000, most), lambda _: None)
    request.add([Sample({}, length) for length in lengths], kind)
    return request


def queue(budget_s: float = 0.030, waiting_s: float = 1e9) -> WaitingRows:
    """An empty queue with a known line of costs."""
    return WaitingRows(CostLine(BASE_S, UNIT_S), QueueLimits(budget_s, waiting_s, 1e9))


def drain(rows: WaitingRows, now: float = 0.0) -> list[list[Job]]:
    """The requests of each batch until nothing waits."""
    batches = []
    while batch := rows.take(now):
        batches.append([row.job for row in batch])
    return batches


REQUESTS = st.lists(
    st.tuples(st.sampled_from("abc"), st.lists(st.integers(1, 300), min_size=1, max_size=12)), min_size=1, max_size=12
)


@given(REQUESTS, st.floats(0.002, 0.1))
def test_every_row_is_computed_once_within_the_budget(
    requests: Sequence[tuple[str, list[int]]], budget_s: float
) -> None:
    rows = queue(budget_s)
    jobs = [job(*lengths, client=client) for client, lengths in requests]
    for request in jobs:
        rows.add(request, now=0.0)
    taken = []
    while batch := rows.take(0.0):
        width = max(row.sample.cost for row in batch)
        assert len(batch) == 1 or rows.costs.seconds(len(batch), width) <= budget_s
        head = batch[0].sample.cost
        assert all(head / 1.25 - 8 <= row.sample.cost <= head * 1.25 + 8 for row in batch)
        taken += batch
        assert rows.seconds == pytest.approx(sum(row.seconds for _, _, row in rows._rows))
    assert sorted((id(row.job), row.index) for row in taken) == sorted(
        (id(row.job), row.index) for request in jobs for row in request.rows
    )
    assert rows.seconds == 0.0 and len(rows) == 0


@given(REQUESTS)
def test_the_head_of_every_batch_is_the_most_urgent_row(requests: Sequence[tuple[str, list[int]]]) -> None:
    rows = queue()
    for client, lengths in requests:
        rows.add(job(*lengths, client=client), now=0.0)
    dues = []
    while (head := rows.head(0.0)) is not None:
        batch = rows.take(0.0)
        assert batch[0].due == head == min(row.due for row in batch)
        dues.append(head)
    assert dues == sorted(dues)


@settings(max_examples=10)
@given(st.integers(1, 400), st.integers(8, 32))
def test_no_flood_of_others_keeps_a_row_waiting_for_ever(length: int, flood: int) -> None:
    """While another client sends more than can be computed, a row is still computed within its patience."""
    rows, now = queue(), 0.0
    asked = job(length, client="quiet")
    rows.add(asked, now)
    due = rows.head(now)
    assert due is not None
    while asked.rows[0] in [row for _, _, row in rows._rows]:
        rows.add(job(*[20] * flood, client="loud"), now)
        batch = rows.take(now)
        now += rows.costs.seconds(len(batch), max(row.sample.cost for row in batch))
        assert now < due + 1.0


def test_a_client_with_little_is_served_before_the_rest_of_one_with_much() -> None:
    rows = queue()
    greedy = [job(*[250] * 8, client="greedy") for _ in range(8)]
    for request in greedy:
        rows.add(request, now=0.0)
    small = job(10, client="modest")
    rows.add(small, now=0.0)
    place = next(place for place, batch in enumerate(drain(rows)) if small in batch)
    assert place <= 1, "only what was asked at the same time comes before it"


def test_many_rows_in_one_request_wait_for_requests_of_few() -> None:
    rows = queue()
    bulk, small = job(*[100] * 200, client="a"), job(100, client="a")
    rows.add(bulk, now=0.0)
    rows.add(small, now=0.0)
    assert small in drain(rows)[0]


def test_a_long_text_does_not_share_its_batch_with_short_ones() -> None:
    rows = queue()
    long, short = job(8000, client="a"), job(12, client="b")
    rows.add(short, now=0.0)
    rows.add(long, now=0.001)
    assert drain(rows) == [[short], [long]]


def test_rows_of_a_long_queue_pad_each_other_little() -> None:
    rows, lengths = queue(), [10 + place * 37 % 60 for place in range(300)]
    for place, length in enumerate(lengths):
        rows.add(job(length, client=str(place)), now=0.0)
    padded = 0
    while batch := rows.take(0.0):
        padded += len(batch) * max(row.sample.cost for row in batch)
    assert padded < 1.08 * sum(lengths)  # the most urgent of near length alone: 1.21


@given(st.integers(11, 14), st.integers(20, 200))
def test_a_row_that_others_are_preferred_to_is_computed_soon(length: int, flood: int) -> None:
    rows, request = queue(), job(length, client="bob")
    for place in range(flood):  # rows of one length, of as many clients, that go together
        rows.add(job(10, client=str(place)), now=0.0)
        if place == 1:
            rows.add(request, now=0.0)
    batches = drain(rows)
    assert next(place for place, batch in enumerate(batches) if request in batch) <= 1


def test_rows_of_other_options_do_not_share_a_batch() -> None:
    rows = queue()
    rows.add(job(10, kind="x"), now=0.0)
    rows.add(job(10, kind="y"), now=0.0)
    assert [len(batch) for batch in drain(rows)] == [1, 1]


def test_a_batch_has_no_more_rows_than_the_graph_takes() -> None:
    rows = queue()
    rows.add(job(*[10] * 5, most=2), now=0.0)
    assert [len(batch) for batch in drain(rows)] == [2, 2, 1]


def test_a_higher_priority_comes_first() -> None:
    rows = queue(budget_s=0.002)
    late, soon = job(10, client="a", priority=Priority.BATCH), job(10, client="b", priority=Priority.HIGH)
    rows.add(late, now=0.0)
    rows.add(soon, now=0.0)
    assert drain(rows) == [[soon], [late]]


def test_a_sooner_deadline_comes_first_and_a_passed_one_not_at_all() -> None:
    rows = queue(budget_s=0.002)
    patient, hurried, dead = job(10, client="a"), job(10, client="b", deadline=0.5), job(10, client="c", deadline=0.1)
    for request in (patient, hurried, dead):
        rows.add(request, now=0.0)
    assert drain(rows, now=0.2) == [[hurried], [patient]]
    assert rows.seconds == 0.0


def test_who_left_costs_nothing() -> None:
    rows = queue()
    left, stays = job(10, 10, client="a"), job(10, client="b")
    rows.add(left, now=0.0)
    rows.add(stays, now=0.0)
    left.leave()
    assert rows.discard(left) == 2
    assert drain(rows) == [[stays]]


def test_more_work_than_may_wait_is_refused_with_the_time_it_takes() -> None:
    rows = queue(waiting_s=0.1)
    while rows.seconds < 0.1:
        rows.add(job(*[100] * 3, client="a"), now=0.0)
    with pytest.raises(Overloaded) as refused:
        rows.add(job(10, client="a"), now=0.0)
    assert refused.value.retry_after_s is not None and 0.02 < refused.value.retry_after_s < 1.0
    rows.add(job(10, client="newcomer"), now=0.0)


def test_requests_on_their_way_count_where_nearly_as_much_waits_as_may() -> None:
    rows = queue(waiting_s=0.1)
    assert not rows.excess_s("a", bulk=False, arriving=1000), "of what nothing is known, nothing is refused"
    while rows.seconds < 0.095:
        rows.add(job(10, client="a"), now=0.0)
    each = rows.seconds / len(rows)
    left = int((0.1 - rows.seconds) / each)
    assert not rows.excess_s("a", bulk=False) and not rows.excess_s("a", bulk=False, arriving=left)
    assert rows.excess_s("a", bulk=False, arriving=left + 1) > 0.0
    assert not rows.excess_s("a", bulk=True, arriving=1000)
    rows.check("a", bulk=False)


@settings(max_examples=10)
@given(st.integers(1, 12))
def test_what_waits_is_bounded_whatever_the_number_of_clients(clients: int) -> None:
    rows = queue(waiting_s=0.1)
    for _ in range(10):
        for client in range(clients):
            with contextlib.suppress(Overloaded):
                rows.add(job(50, client=str(client)), now=0.0)
    assert rows.seconds <= 2 * 0.1 + rows.costs.row_seconds(50)


def test_a_request_of_more_rows_than_are_taken_says_how_many() -> None:
    rows = queue()
    with pytest.raises(TooLarge, match=r"3000 rows .* 2048"):
        rows.add(job(*[1] * 3000), now=0.0)


@given(st.floats(1e-4, 1e-2), st.floats(1e-6, 1e-3), st.lists(st.integers(1, 400), min_size=2, max_size=8, unique=True))
def test_the_line_of_costs_follows_what_batches_take(base_s: float, unit_s: float, widths: list[int]) -> None:
    line = CostLine(base_s * 2, unit_s * 2)
    for width in widths * (200 // len(widths)):
        line.note(2, width, base_s + unit_s * 2 * width)
    for width in widths:
        assert line.seconds(2, width) == pytest.approx(base_s + unit_s * 2 * width, rel=0.2)


def test_a_time_that_is_not_the_batchs_does_not_move_the_line_far() -> None:
    line = CostLine(1e-3, 1e-4)
    line.begin((10, 2e-3), (80, 9e-3))
    for _ in range(20):
        line.note(1, 40, 5e-3)
    line.note(1, 40, 3.0)
    assert line.seconds(1, 40) < 4 * 5e-3


def test_short_rows_that_are_disturbed_make_no_long_one_short() -> None:
    """Where batches of one row take longer than those of two, as chance has it, the slope would be none."""
    line = CostLine()
    line.begin((28, 9e-3), (224, 60e-3))
    measured_s = line.seconds(1, 8000)
    for _ in range(100):
        for rows, seconds in ((1, 20e-3), (1, 8e-3), (2, 7e-3), (1, 25e-3)):
            line.note(rows, 16, seconds)
    assert line.seconds(1, 8000) > measured_s / 3
    for _ in range(300):
        line.note(1, 16, 5e-3)
    assert line.seconds(1, 8000) > measured_s / 3
