"""Batches sorted by cost under a budget, and the order of the inputs restored.

Padding is waste: a batch costs its samples times the dearest of them. So samples are sorted by cost, cut into batches
within the budget, and results go back to the order in which the inputs came. Inputs are read lazily, a window at a
time, so memory does not grow with their number. This module knows nothing of modalities or tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, TypeVar

from onnxpress.samples import Sample

Item = TypeVar("Item")
Result = TypeVar("Result")
Context = TypeVar("Context")

#: Answers one batch: a value for each sample.
Run = Callable[[Sequence[Sample]], Sequence[Any]]

#: Samples, and their cost, in a full window. Wider windows pad less, and hold more memory and more results back.
WINDOW_SAMPLES = 512
WINDOW_COST = 65_536


@dataclass(frozen=True, slots=True)
class Prepared(Generic[Context]):
    """The samples of one input, of which a long text may have several, and the context that `finish` needs."""

    samples: tuple[Sample, ...]
    context: Context


@dataclass(frozen=True, slots=True)
class Limits:
    """What a batch may hold: `budget` of cost, the dearest sample's times their number, and `max_samples` (None: any
    number). `key`: only samples with equal keys share a batch."""

    budget: int
    max_samples: int | None = None
    key: Callable[[Sample], Hashable] = lambda sample: None


@dataclass(frozen=True, slots=True)
class ReadAhead(Generic[Item, Context]):
    """How several inputs are prepared at once.

    `foresee`: the most that the samples of an input, at most one, may cost; None: not known before it is prepared, and
    so it is prepared alone. `prepare`: what each of several inputs becomes.
    """

    foresee: Callable[[Item], int | None]
    prepare: Callable[[Sequence[Item]], Sequence[Prepared[Context]]]


def plan(
    costs: Sequence[int], budget: int, max_samples: int | None = None, *, keys: Sequence[Hashable] | None = None
) -> list[list[int]]:
    """Indices of `costs`, the dearest first, cut into batches of at most `budget`, padding included.

    A sample that costs more than the budget gets a batch of its own. Every index occurs exactly once. With `keys`,
    only samples of equal keys share a batch.
    """
    ranks: dict[Hashable, int] = {}
    groups = [0] * len(costs) if keys is None else [ranks.setdefault(key, len(ranks)) for key in keys]
    batches: list[list[int]] = []
    dearest, group = 0, -1
    for index in sorted(range(len(costs)), key=lambda i: (-costs[i], groups[i])):
        full = not batches or (len(batches[-1]) + 1) * dearest > budget or len(batches[-1]) == max_samples
        if full or groups[index] != group:
            batches.append([])
            dearest, group = costs[index], groups[index]
        batches[-1].append(index)
    return batches


def run_samples(
    samples: Sequence[Sample], run: Run, limits: Limits, report: Callable[[int], None] = lambda done: None
) -> list[Any]:
    """The values of `samples`, computed in batches of similar cost, in the order of the samples.

    `report` hears after each batch how many samples are computed.
    """
    values: list[Any] = [None] * len(samples)
    done = 0
    costs, keys = [sample.cost for sample in samples], [limits.key(sample) for sample in samples]
    for batch in plan(costs, limits.budget, limits.max_samples, keys=keys):
        for index, value in zip(batch, run([samples[i] for i in batch]), strict=True):
            values[index] = value
        done += len(batch)
        report(done)
    return values


def stream(
    items: Iterable[Item],
    prepare: Callable[[Item], Prepared[Context]],
    run: Run,
    finish: Callable[[Context, list[Any]], Result],
    limits: Limits,
    *,
    first_window: int = 1,
    window: int = WINDOW_SAMPLES,
    window_cost: int = WINDOW_COST,
    ahead: ReadAhead[Item, Context] | None = None,
    report: Callable[[int], None] = lambda done: None,
) -> Iterator[Result]:
    """Yield the result of each item in order, reading items only as they are needed.

    A window starts at `first_window` samples and doubles up to `window`, so the first result of a slow source comes at
    once and a long stream is still sorted by cost. `max_samples=1` reads one input at a time. A window whose samples
    cost `window_cost` is full.

    Args:
        prepare: makes an input's samples.
        run: answers one batch.
        finish: makes the result from a request's context and the values of its samples.
        ahead: prepares several inputs at once, never more than the window takes; None: one after the other.
        report: hears after each batch how many inputs are computed, those that wait for their turn included.
    """
    source = iter(items)
    capacity = 1 if limits.max_samples == 1 else min(first_window, window)
    before = 0  # inputs of the windows that are done
    while requests := _window(source, prepare, ahead, capacity, window_cost):
        samples = [sample for request in requests for sample in request.samples]
        values = run_samples(samples, run, limits, _share(report, before, len(requests), len(samples)))
        before += len(requests)
        start = 0
        for request in requests:
            stop = start + len(request.samples)
            result = finish(request.context, values[start:stop])
            values[start:stop] = [None] * (stop - start)  # the consumer may keep the result, we do not
            start = stop
            yield result
        if limits.max_samples != 1:
            capacity = min(capacity * 2, window)


def _share(report: Callable[[int], None], before: int, requests: int, samples: int) -> Callable[[int], None]:
    """Report the samples computed in a window as a number of computed inputs."""
    return lambda done: report(before + requests * done // samples)


def _window(
    source: Iterator[Item],
    prepare: Callable[[Item], Prepared[Context]],
    ahead: ReadAhead[Item, Context] | None,
    capacity: int,
    most_cost: int,
) -> list[Prepared[Context]]:
    """The next inputs as requests, until they have `capacity` samples or cost `most_cost`."""
    requests: list[Prepared[Context]] = []
    count = cost = 0
    while count < capacity and cost < most_cost:
        if ahead is None:
            following = [prepare(item) for item in islice(source, 1)]
        else:
            following = _next_requests(source, prepare, ahead, capacity - count, most_cost - cost)
        if not following:
            break
        requests += following
        count += sum(len(request.samples) for request in following)
        cost += sum(sample.cost for request in following for sample in request.samples)
    return requests


def _next_requests(
    source: Iterator[Item],
    prepare: Callable[[Item], Prepared[Context]],
    ahead: ReadAhead[Item, Context],
    capacity: int,
    most_cost: int,
) -> list[Prepared[Context]]:
    """At least one more input, if there is any, and at most so many as surely have a place: `capacity` of them, the
    last of which may bring the cost to `most_cost`."""
    items: list[Item] = []
    alone: list[Item] = []
    try:
        for item in source:
            cost = ahead.foresee(item)
            if cost is None:
                alone.append(item)
                break
            items.append(item)
            most_cost -= cost
            if len(items) == capacity or most_cost <= 0:
                break
    except Exception:
        ahead.prepare(items)  # an input that was read before the source failed may be at fault, too: it comes first
        raise
    return [*ahead.prepare(items), *map(prepare, alone)]
