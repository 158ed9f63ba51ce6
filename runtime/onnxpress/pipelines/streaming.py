"""From inputs, which come one after the other, to results in the same order, each input answered or refused by itself.

Inputs are read a window at a time, so memory does not grow with their number, and a window's samples share batches.
One bad input costs its neighbours nothing: what came before it is answered first. Knows no modality and no task.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from onnxpress.errors import OnnxpressError
from onnxpress.pipelines.batching import Limits, Prepared, Run, run_samples
from onnxpress.samples import Sample

Item = TypeVar("Item")
Context = TypeVar("Context")
Result = TypeVar("Result")

#: What a bad input gives: the call ends with its error, or the error stands where its result would.
OnError = Literal["raise", "return"]

#: Samples, and their cost, in a full window. Wider windows pad less, and hold more memory and more results back.
WINDOW_SAMPLES = 512
WINDOW_COST = 65_536


@dataclass(frozen=True, slots=True)
class Work(Generic[Item, Context, Result]):
    """How an input becomes a result.

    `prepare`: an input's samples. `run`: a value for each sample of a batch. `finish`: the result, of a request's
    context and the values of its samples. `prepare_many`: what `prepare` gives for several inputs at once, or the
    error of an input in its place; what it raises is of no account, as they are then prepared one after the other.
    `foresee`: about the most that the samples of an input may cost; None: it is prepared alone.
    """

    prepare: Callable[[Item], Prepared[Context]]
    run: Run
    finish: Callable[[Context, list[Any]], Result]
    prepare_many: Callable[[Sequence[Item]], Sequence[Prepared[Context] | OnnxpressError]] | None = None
    foresee: Callable[[Item], int | None] = lambda item: None


@dataclass(frozen=True, slots=True)
class Windows:
    """How many samples are read before any is answered: `first`, then twice as many each time, up to `most`; fewer
    where those that were read cost `cost`."""

    first: int = 1
    most: int = WINDOW_SAMPLES
    cost: int = WINDOW_COST


@dataclass(slots=True)
class _Window(Generic[Context]):
    """Inputs that were read: their requests, or why they are none. `failure`: why nothing can be read after them."""

    entries: list[Prepared[Context] | OnnxpressError] = field(default_factory=list)
    failure: Exception | None = None


def stream(
    items: Iterable[Item],
    work: Work[Item, Context, Result],
    limits: Limits,
    windows: Windows,
    *,
    on_error: OnError = "raise",
    hurries: bool = False,
    begin: Callable[[], None] = lambda: None,
    report: Callable[[int], None] = lambda done: None,
) -> Iterator[Result | OnnxpressError]:
    """Yield the result of each item in order, reading items only as they are needed.

    `items` may have a method `waits`, which tells whether to ask for the next input may take long: what was read is
    answered before that. An OnnxpressError about one item has its place, counted from 0, as `index`. What was read
    before the item, or before the source failed, is answered first.

    Args:
        on_error: whether the error of an item ends the stream, or stands in the place of its result.
        hurries: whether such an error is raised as soon as it is known, as no one sees the results before it.
        begin: called when inputs were read, before they are prepared and computed.
        report: hears after each batch how many inputs are computed, those that wait for their turn included.

    Raises:
        OnnxpressError: about an item, unless `on_error` says otherwise; or about the whole call.
        Exception: whatever the source raises.
    """
    source, waits = iter(items), getattr(items, "waits", _never)
    capacity = min(windows.first, windows.most)
    before = 0  # inputs of the windows that are done
    while True:
        window = _read(source, waits, work, capacity, windows.cost, begin, goes_on=on_error == "return")
        count = len(window.entries)
        if hurries and on_error == "raise":
            _raise_first(window, before)
        heard = _share(report, before, count)
        for place, result in enumerate(_answers(window.entries, work, limits, heard), before):
            if isinstance(result, OnnxpressError):
                result.index = place
                if on_error == "raise":
                    raise result
            yield result
        if window.failure is not None:
            raise window.failure
        if not count:
            return
        before += count
        capacity = min(capacity * 2, windows.most)


def _never() -> bool:
    return False


def _raise_first(window: _Window[Any], before: int) -> None:
    for place, entry in enumerate(window.entries, before):
        if isinstance(entry, OnnxpressError):
            entry.index = place
            raise entry
    if window.failure is not None:
        raise window.failure


def _share(report: Callable[[int], None], before: int, inputs: int) -> Callable[[int, int], None]:
    """Report the samples computed in a window, of all that it has, as a number of computed inputs."""
    return lambda done, samples: report(before + inputs * done // samples)


def _answers(
    entries: Sequence[Prepared[Context] | OnnxpressError],
    work: Work[Any, Context, Any],
    limits: Limits,
    report: Callable[[int, int], None],
) -> Iterator[Any]:
    """The result of each request, or why it has none."""
    samples = [sample for entry in entries if isinstance(entry, Prepared) for sample in entry.samples]
    values = run_samples(
        samples, lambda batch: run_apart(work.run, batch), limits, lambda done: report(done, len(samples))
    )
    start = 0
    for entry in entries:
        if isinstance(entry, OnnxpressError):
            yield entry
            continue
        stop = start + len(entry.samples)
        result = _finish(work, entry, values[start:stop])
        values[start:stop] = [None] * (stop - start)  # the consumer may keep the result, we do not
        start = stop
        yield result


def _finish(work: Work[Any, Context, Any], request: Prepared[Context], values: list[Any]) -> Any:
    for value in values:
        if isinstance(value, OnnxpressError):
            return value
    try:
        return work.finish(request.context, values)
    except OnnxpressError as error:
        if not error.of_input:
            raise
        return error


def run_apart(run: Run, batch: Sequence[Sample]) -> Sequence[Any]:
    """The values of a batch; where it cannot be computed, of its halves, and so on. A sample that cannot be computed
    even alone has its error as its value."""
    try:
        return run(batch)
    except OnnxpressError as error:
        if not error.of_input:
            raise
        if len(batch) == 1:
            return [error]
    half = len(batch) // 2
    return [*run_apart(run, batch[:half]), *run_apart(run, batch[half:])]


def _read(
    source: Iterator[Item],
    waits: Callable[[], bool],
    work: Work[Item, Context, Result],
    capacity: int,
    most_cost: int,
    begin: Callable[[], None],
    goes_on: bool,
) -> _Window[Context]:
    """The next inputs, until they have `capacity` samples or cost `most_cost`, or the source ends or fails; and, unless
    the stream goes on after a bad one, no further than that."""
    window: _Window[Context] = _Window()
    count = cost = 0
    while count < capacity and cost < most_cost and window.failure is None:
        if window.entries and waits():
            break
        items, window.failure = _take(source, waits, work, capacity - count, most_cost - cost)
        if not items:
            break
        begin()
        for entry in _requests(items, work, window):
            window.entries.append(entry)
            if isinstance(entry, Prepared):
                count += len(entry.samples)
                cost += sum(sample.cost for sample in entry.samples)
            elif goes_on:
                count += 1  # so that a window of bad inputs ends, too
            else:
                return window
    return window


def _take(
    source: Iterator[Item],
    waits: Callable[[], bool],
    work: Work[Item, Context, Result],
    capacity: int,
    most_cost: int,
) -> tuple[list[Item], Exception | None]:
    """At least one more input, if there is any, and at most so many as surely have a place: `capacity` of them, the
    last of which may bring the cost to `most_cost`. Also why the source failed, if it did."""
    items: list[Item] = []
    try:
        for item in source:
            items.append(item)
            cost = work.foresee(item)
            if cost is None:
                break
            most_cost -= cost
            if len(items) == capacity or most_cost <= 0 or waits():
                break
    except Exception as error:
        return items, error
    return items, None


def _requests(
    items: Sequence[Item], work: Work[Item, Context, Result], window: _Window[Context]
) -> Iterator[Prepared[Context] | OnnxpressError]:
    """What the inputs become, or why they cannot. A failure that is no input's ends the window."""
    try:
        ready = _prepare_together(items, work)
        yield from ready
        for item in items[len(ready) :]:
            yield _prepare(item, work)
    except Exception as error:
        window.failure = error


def _prepare_together(
    items: Sequence[Item], work: Work[Item, Context, Result]
) -> Sequence[Prepared[Context] | OnnxpressError]:
    """The requests of the first inputs, those that are prepared together; none if they could not be."""
    together = items if work.foresee(items[-1]) is not None else items[:-1]
    if len(together) < 2 or work.prepare_many is None:
        return ()
    try:
        return work.prepare_many(together)
    except Exception:  # of which input, each alone will tell
        return ()


def _prepare(item: Item, work: Work[Item, Context, Result]) -> Prepared[Context] | OnnxpressError:
    try:
        return work.prepare(item)
    except OnnxpressError as error:
        if not error.of_input:
            raise
        return error
