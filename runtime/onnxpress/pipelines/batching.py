"""Batches sorted by cost under a budget, and the order of the samples restored.

Padding is waste: a batch costs its samples times the dearest of them. So samples are sorted by cost, cut into batches
within the budget, and values go back to the order of the samples. This module knows nothing of modalities or tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence, Set
from dataclasses import dataclass
from math import prod
from typing import Any, Generic, TypeVar

from onnxpress.format.manifest import TensorInfo
from onnxpress.samples import Sample

Context = TypeVar("Context")

#: Memory for what a graph returns of one batch.
OUTPUT_BYTES = 128 * 2**20

_BYTES = {"float16": 2, "float64": 8, "int64": 8}

#: Answers one batch: a value for each sample.
Run = Callable[[Sequence[Sample]], Sequence[Any]]


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


def budget_of(usual: int, outputs: Sequence[TensorInfo], axes: Set[str]) -> int:
    """The cost of a batch whose outputs fit in `OUTPUT_BYTES`, `usual` at most. Outputs with a row for each element
    along one of `axes` decide: of a vocabulary of 250,000, a token's row is a megabyte.
    """
    sizes = (_BYTES.get(output.dtype, 4) * prod(size for size in output.axes if isinstance(size, int))
             for output in outputs if not axes.isdisjoint(output.axes))  # fmt: skip
    return max(1, min(usual, OUTPUT_BYTES // max(sum(sizes), 1)))


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
