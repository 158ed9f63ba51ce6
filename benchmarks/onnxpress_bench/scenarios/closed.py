"""Scenarios in a closed loop: the next call begins when the last one has ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle
from typing import Any, TypeVar

from onnxpress_bench.backends import Backend, Batching, Encodes, NotMeasured, Split
from onnxpress_bench.scenarios import Samples, Work
from onnxpress_bench.statistics import is_stable
from onnxpress_bench.workloads.encoding import tokenize

Call = Callable[[Any], Any]
Value = TypeVar("Value")


def single_stream(backend: Backend, work: Work) -> Samples:
    """One item at a time: milliseconds of each call."""
    return _latencies(backend, work, alone=True)


def multi_stream(backend: Backend, work: Work) -> Samples:
    """Queries of several items, each handed over at once: milliseconds of each call."""
    return _latencies(backend, work, alone=False)


def offline(backend: Backend, work: Work) -> Samples:
    """All texts of one length at once: items per second."""
    return {"offline_per_s": [_rate(backend, work.uniform, work.batching)]}


def mixed(backend: Backend, work: Work) -> Samples:
    """All texts of mixed length at once: items per second."""
    return {"mixed_per_s": [_rate(backend, work.stream, work.batching)]}


def _latencies(backend: Backend, work: Work, *, alone: bool) -> Samples:
    """At least two rounds of the queries of a shape, one if they have several items."""
    samples: Samples = {}
    for shape, queries in work.shapes.items():
        if (len(queries[0]) == 1) is not alone:
            continue
        call, arguments = _call(backend, queries, work.tokenization)
        times = rounds(partial(milliseconds, call), arguments, work, least=2 if alone else 1)
        samples[f"latency_{shape}_ms"] = times
    return samples


def _call(backend: Backend, queries: Sequence[Sequence[Any]], tokenization: str) -> tuple[Call, Sequence[Any]]:
    """What is timed, and what it is given."""
    if tokenization == "apart":
        if isinstance(backend, Split):
            return backend.compute, [backend.tokenize(query) for query in queries]
        if isinstance(backend, Encodes):
            return backend.forward, [tokenize(backend, query) for query in queries]
        raise NotMeasured("this backend cannot be measured without its tokenization")
    if len(queries[0]) == 1:
        return backend.one, [query[0] for query in queries]
    plans_batches = backend.batchings[0].rows is None
    together = Batching(None if plans_batches else len(queries[0]))
    return lambda query: backend.many(query, together), queries


def rounds(
    sample: Callable[[Any], Value],
    arguments: Sequence[Any],
    work: Work,
    now: Callable[[], float] = time.perf_counter,
    least: int = 1,
) -> list[Value]:
    """A sample of each argument, after a warm-up. The arguments are gone through whole, as often as time allows but at
    least so many times, so that every backend's samples hold the same mixture."""
    warm_up(sample, arguments, work.warm_up_s)
    samples: list[Value] = []
    end = now() + work.latency_s
    while len(samples) < least * len(arguments) or now() < end:
        samples += map(sample, arguments)
    return samples


def warm_up(call: Call, arguments: Sequence[Any], limit_s: float) -> None:
    """Call until the times are stable, or `limit_s` seconds have passed."""
    times: list[float] = []
    end = time.perf_counter() + limit_s
    for argument in cycle(arguments):
        times.append(milliseconds(call, argument))
        if is_stable(times) or time.perf_counter() > end:
            return


def fastest_batching(backend: Backend, stream: Sequence[Any], budget_s: float) -> tuple[Batching, dict[str, float]]:
    """The batching that this machine runs the stream fastest with, and items per second of each that was tried.

    All are tried on the same items, as many as one at a time takes `budget_s` for.
    """
    first = backend.batchings[0]
    backend.many(stream[:8], first)
    per_item_ms = _stream_ms(backend, stream[:32], first) / len(stream[:32])
    if len(backend.batchings) == 1:
        return first, {str(first): 1000 / per_item_ms}
    sample = stream[: max(32, int(1000 * budget_s / per_item_ms))]
    rates = {batching: 1000 * len(sample) / _stream_ms(backend, sample, batching) for batching in backend.batchings}
    best = max(rates, key=lambda batching: rates[batching])
    return best, {str(batching): rate for batching, rate in rates.items()}


def milliseconds(call: Call, argument: Any) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    call(argument)
    return (time.perf_counter() - start) * 1000


def _rate(backend: Backend, items: Sequence[Any], batching: Batching) -> float:
    backend.many(items[:16], batching)  # shapes not seen before
    return 1000 * len(items) / _stream_ms(backend, items, batching)


def _stream_ms(backend: Backend, items: Sequence[Any], batching: Batching) -> float:
    return milliseconds(lambda some: backend.many(some, batching), items)
