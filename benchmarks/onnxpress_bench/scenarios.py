"""What is measured of a loaded backend. A new scenario is one function and one row in SCENARIOS.

Samples are named with their unit; measures.py says how they become figures. This module knows no backend.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

from onnxpress_bench.backends import Backend, Batching
from onnxpress_bench.statistics import is_stable

Samples = dict[str, list[float]]


@dataclass(frozen=True, slots=True)
class Work:
    """The items, and how long to work on them. `latency_s` and `warm_up_s` count for each class of lengths."""

    by_length: Mapping[str, Sequence[Any]]
    stream: Sequence[Any]
    batching: Batching
    latency_s: float
    warm_up_s: float


def single_stream(backend: Backend, work: Work) -> Samples:
    """One item at a time: milliseconds of each call, tokenization included.

    The items of a class are gone through whole, as often as time allows but at least twice, so that every backend's
    samples hold the same mixture.
    """
    samples: Samples = {}
    for name, items in work.by_length.items():
        warm_up(backend.one, items, work.warm_up_s)
        times: list[float] = []
        end = time.perf_counter() + work.latency_s
        while len(times) < 2 * len(items) or time.perf_counter() < end:
            times += [_milliseconds(backend.one, item) for item in items]
        samples[f"latency_{name}_ms"] = times
    return samples


def offline(backend: Backend, work: Work) -> Samples:
    """The whole stream at once: items per second."""
    backend.many(work.stream[:16], work.batching)  # shapes not seen before
    return {"throughput_per_s": [1000 * len(work.stream) / _stream_ms(backend, work.stream, work.batching)]}


SCENARIOS: Mapping[str, Callable[[Backend, Work], Samples]] = {
    "single-stream": single_stream,
    "offline": offline,
}


def warm_up(call: Callable[[Any], Any], items: Sequence[Any], limit_s: float) -> None:
    """Call until the times are stable, or `limit_s` seconds have passed."""
    times: list[float] = []
    end = time.perf_counter() + limit_s
    for item in cycle(items):
        times.append(_milliseconds(call, item))
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
    rates = {one: 1000 * len(sample) / _stream_ms(backend, sample, one) for one in backend.batchings}
    best = max(rates, key=lambda batching: rates[batching])
    return best, {str(batching): rate for batching, rate in rates.items()}


def _stream_ms(backend: Backend, items: Sequence[Any], batching: Batching) -> float:
    return _milliseconds(lambda some: backend.many(some, batching), items)


def _milliseconds(call: Callable[[Any], Any], argument: Any) -> float:
    start = time.perf_counter()
    call(argument)
    return (time.perf_counter() - start) * 1000
