"""Which rows are computed next, and which requests may wait at all. Pure: knows no thread, no model and no clock.

A row has a virtual deadline: when its client's own clock comes to it, and how long its request is content to wait after
that. A client's clock is ahead of time by the work that it has asked for, so that one with little is served before one
with much; and as a deadline stays while time goes on, every row comes to the head. The head decides a batch: rows of
near length join it, the nearest first among the most urgent, within a budget of time. Nothing waits for company.
"""

from __future__ import annotations

import random
from bisect import insort
from collections import defaultdict
from dataclasses import dataclass, field

from onnxpress.serve.costs import CostLine
from onnxpress.serve.errors import Overloaded, TooLarge
from onnxpress.serve.jobs import Job, Priority, QueuedRow

#: So many of the most urgent rows are looked at for a batch: no queue is so long that choosing takes long.
_LOOK_AHEAD = 1024

#: A batch's rows are chosen from so many times as many.
_CHOICE = 4

#: The share of what may wait from which on requests count that are not read yet.
_NEARLY = 0.9


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """What may wait, and what is computed together.

    Args:
        budget_s: of one batch, which nothing interrupts: the least time of those behind it.
        waiting_s: work that may wait where somebody waits for the answer; `bulk_s`: of requests of many rows.
        most_rows: of one request.
    """

    budget_s: float = 0.030
    waiting_s: float = 2.0
    bulk_s: float = 60.0
    most_rows: int = 2048


@dataclass(slots=True)
class WaitingRows:
    """The rows of one model that wait, in the order of their virtual deadlines."""

    costs: CostLine
    limits: QueueLimits = field(default_factory=QueueLimits)
    _rows: list[tuple[float, int, QueuedRow]] = field(default_factory=list)
    _sequence: int = 0
    #: The clocks of clients that asked for more than was done since, and the work of each that waits, seconds; and of
    #: all of them in each of the two classes of requests, bulk or not.
    _clocks: dict[str, float] = field(default_factory=dict)
    _work_s: defaultdict[tuple[str, bool], float] = field(default_factory=lambda: defaultdict(float))
    _waiting_s: list[float] = field(default_factory=lambda: [0.0, 0.0])

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def seconds(self) -> float:
        """The work that waits."""
        return max(0.0, sum(self._waiting_s))

    def excess_s(self, client: str, *, bulk: bool, arriving: int = 0) -> float:
        """When a client may ask again whose work may not wait now, because more waits than may; 0: it may. Without
        the lock it tells what was so a moment ago.

        `arriving`: requests that are let in and do not wait yet. Where nearly as much waits as may, each of them is
        taken to be as long as those that do.

        A client with less than its share of what may wait is let in all the same, so that no other can shut it out.
        """
        most = self.limits.bulk_s if bulk else self.limits.waiting_s
        waiting = self._waiting_s[bulk]
        if waiting > _NEARLY * most:
            waiting *= 1 + arriving / max(len(self._rows), 1)
        if waiting < most:
            return 0.0
        clients = {name for name, is_bulk in list(self._work_s) if is_bulk is bulk}
        share_s = most / len(clients | {client})
        if self._work_s.get((client, bulk), 0.0) < share_s / 2 and waiting < 2 * most:
            return 0.0
        drained_s = max(waiting - most, 0.05) + most / 4
        return drained_s * random.uniform(0.9, 1.3)  # noqa: S311

    def check(self, client: str, *, bulk: bool) -> None:
        """Refuse a client's work while more waits than may; nothing is counted yet.

        Raises:
            Overloaded: with the time that what waits is going to take.
        """
        if excess_s := self.excess_s(client, bulk=bulk):
            most = self.limits.bulk_s if bulk else self.limits.waiting_s
            raise Overloaded(
                f"{self._waiting_s[bulk]:.2f} s of work wait, and {most:g} s may: ask again in {excess_s:.2f} s.",
                retry_after_s=excess_s,
            )

    def add(self, job: Job, now: float) -> None:
        """Let a request's rows wait.

        Raises:
            TooLarge: it has more rows than are taken at once.
            Overloaded: as of `check`.
        """
        if len(job.rows) > self.limits.most_rows:
            raise TooLarge(
                f"{len(job.rows)} rows to compute, and a request may have {self.limits.most_rows}: send several."
            )
        bulk, client = job.priority is Priority.BATCH, job.terms.client
        self.check(client, bulk=bulk)
        self._clocks = {name: clock for name, clock in self._clocks.items() if clock > now}
        clock = max(now, self._clocks.get(client, now))
        patience = min(job.priority.value, job.terms.deadline - now)
        for row in job.rows:
            row.seconds = self.costs.row_seconds(row.sample.cost)
            row.due = clock + patience
            clock += row.seconds
            self._work_s[client, bulk] += row.seconds
            self._waiting_s[bulk] += row.seconds
            insort(self._rows, (row.due, self._sequence, row))
            self._sequence += 1
        self._clocks[client] = clock

    def head(self, now: float) -> float | None:
        """The virtual deadline of the most urgent row that somebody waits for; None: there is none."""
        while self._rows and self._rows[0][2].job.lost(now):
            self._forget(0)
        return self._rows[0][0] if self._rows else None

    def take(self, now: float) -> list[QueuedRow]:
        """The rows of the next batch, which wait no longer: the head, and what goes with it.

        Rows that nobody waits for are dropped on the way.
        """
        if self.head(now) is None:
            return []
        head = self._rows[0][2]
        limits = head.job.limits
        batch: list[int] = []
        width = 0
        for place in self._nearest_first(head, now):
            wider = max(width, self._rows[place][2].sample.cost)
            if batch and not self._fits(len(batch) + 1, wider, limits.budget):
                continue
            batch.append(place)
            width = wider
            if len(batch) == limits.max_samples or not self._fits(len(batch) + 1, width, limits.budget):
                break
        return [self._forget(place) for place in sorted(batch, reverse=True)][::-1]

    def _nearest_first(self, head: QueuedRow, now: float) -> list[int]:
        """The places of the rows that a batch may have, of which none is lost: those whose length is nearest the
        head's first, which pad each other least, among the most urgent: a few times as many as go into a batch.

        So a row that others are preferred to is at the head some batches later.
        """
        length = head.sample.cost
        least, most = length / 1.25 - 8, length * 1.25 + 8
        together = (self.limits.budget_s - self.costs.base_s) / max(self.costs.unit_s * length, 1e-9)
        choice = _CHOICE * max(1.0, min(together, head.job.limits.budget / max(length, 1)))
        places: list[int] = []
        place = 0
        while place < min(len(self._rows), _LOOK_AHEAD) and len(places) < choice:
            row = self._rows[place][2]
            if row.job.lost(now):
                self._forget(place)
                continue
            if row.key == head.key and least <= row.sample.cost <= most:
                places.append(place)
            place += 1
        return sorted(places, key=lambda place: abs(self._rows[place][2].sample.cost - length))

    def discard(self, job: Job) -> int:
        """Drop the rows of a request that nobody waits for; how many."""
        places = [place for place, (_, _, row) in enumerate(self._rows) if row.job is job]
        for place in reversed(places):
            self._forget(place)
        return len(places)

    def _fits(self, rows: int, width: int, budget: int) -> bool:
        """Whether so many rows are a batch, the longest of which is so long."""
        return self.costs.seconds(rows, width) <= self.limits.budget_s and rows * width <= budget

    def _forget(self, place: int) -> QueuedRow:
        row = self._rows.pop(place)[2]
        whose = row.job.terms.client, row.job.priority is Priority.BATCH
        self._work_s[whose] -= row.seconds
        self._waiting_s[whose[1]] -= row.seconds
        if not self._rows:
            self._work_s.clear()
            self._waiting_s[:] = 0.0, 0.0
        elif self._work_s[whose] <= 1e-9:
            del self._work_s[whose]
        return row
