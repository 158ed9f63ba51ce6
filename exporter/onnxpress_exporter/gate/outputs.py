"""Compares the exported graph with PyTorch on real inputs: the gate that every variant has to pass.

Each sample is run alone through both, at its own length. Then samples are batched, with padding and without, and
the graph's answer in the batch is compared with its answer alone. Errors are fractions of the output's range, that
is of max - min over all of PyTorch's outputs. This module knows neither torch nor ONNX: it compares two functions
from arrays to arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.format.manifest import Quality, TensorInfo
from onnxpress.format.precisions import REFERENCE
from onnxpress.samples import Sample
from onnxpress_exporter.gate.comparison import Arrays, Comparison, largest_error
from onnxpress_exporter.precisions import PRECISIONS

Runner = Callable[[Arrays], Arrays]
Collate = Callable[[Sequence[Sample]], "Collated"]


@dataclass(frozen=True, slots=True)
class Collated:
    """A batch as the graph takes it, and where each row has its real tokens, along an axis called "sequence"."""

    arrays: Arrays
    spans: tuple[slice, ...]


@dataclass(frozen=True, slots=True)
class Named:
    """A sample of the graph's inputs. `alone`: it is too long to be asked beside others as well; `short`: many of its
    size may be asked together."""

    name: str
    row: Sample
    alone: bool = False
    short: bool = True


@dataclass(frozen=True, slots=True)
class ReferenceAnswers:
    """PyTorch's answers: per sample and output, the range of each output, and whether padding leaves them alone.
    `rounding`: of the range, how far its answers to a sample lie apart, computed in its two ways."""

    answers: tuple[Arrays, ...]
    ranges: Mapping[str, float]
    padding: bool
    rounding: Callable[[int], float]


def reference_answers(
    run: Runner,
    collate: Collate,
    samples: Sequence[Named],
    outputs: Sequence[TensorInfo],
    otherwise: Runner | None = None,
    *,
    pads: bool = True,
) -> ReferenceAnswers:
    """Ask PyTorch for each sample alone, and find out whether the architecture itself lets padding change answers.

    Some do (convolutions over tokens or pixels, Fourier mixing): for them one answer per input means that only rows of
    equal length may share a batch, and `padding` is false. So it is where there is no way to pad (`pads`).
    """
    answers = tuple(_alone(run, collate, sample, outputs) for sample in samples)
    ranges = {tensor.name: _range(answer[tensor.name] for answer in answers) for tensor in outputs}
    batch = _short(samples)
    in_batch = _batched(run, collate, [samples[i] for i in batch], outputs)
    error = max(
        (largest_error(in_batch[k], answers[i], ranges)[0] for k, i in enumerate(batch)),
        default=0.0,
    )

    @cache
    def rounding(place: int) -> float:
        other = _alone(otherwise or run, collate, samples[place], outputs)
        return largest_error(other, answers[place], ranges)[0]

    return ReferenceAnswers(answers, ranges, pads and error <= PRECISIONS[REFERENCE].limits.max_error, rounding)


def verify(
    precision: str,
    reference: ReferenceAnswers,
    run: Runner,
    collate: Collate,
    samples: Sequence[Named],
    outputs: Sequence[TensorInfo],
) -> Quality:
    """Compare a graph with PyTorch's answers, alone and in batches.

    Raises:
        VerificationFailed: an error is above its limit; names the input, expected and obtained.
    """
    limits = PRECISIONS[precision].limits
    compared = Comparison(precision, reference.ranges, limits.max_error, limits.batch_error)
    alone = []
    for place, (sample, expected) in enumerate(zip(samples, reference.answers, strict=True)):
        compared.rounding = partial(reference.rounding, place)
        alone.append(_alone(run, collate, sample, outputs))
        compared.beside_reference(f"{sample.name!r} alone", alone[-1], expected)
    for title, indices in _batches(samples, padding=reference.padding):
        answers = _batched(run, collate, [samples[i] for i in indices], outputs)
        for obtained, index in zip(answers, indices, strict=True):
            compared.rounding = partial(reference.rounding, index)
            where = f"{samples[index].name!r} in {title}"
            compared.beside_reference(f"{where}, against PyTorch", obtained, reference.answers[index])
            compared.beside_alone(f"{where}, against the same input alone", obtained, alone[index])
    return compared.quality("PyTorch fp32, eager", len(samples))


def together(qualities: Sequence[Quality]) -> Quality:
    """What verification measured of several graphs, as of one: the largest errors of them all."""
    return replace(
        qualities[0],
        inputs=sum(quality.inputs for quality in qualities),
        comparisons=sum(quality.comparisons for quality in qualities),
        max_error=max(quality.max_error for quality in qualities),
        max_error_limit=max(quality.max_error_limit for quality in qualities),
        batch_error=max(quality.batch_error for quality in qualities),
        batch_error_limit=max(quality.batch_error_limit for quality in qualities),
    )


def _batches(samples: Sequence[Named], *, padding: bool) -> Iterable[tuple[str, list[int]]]:
    by_length = sorted((i for i, sample in enumerate(samples) if not sample.alone), key=lambda i: samples[i].row.cost)
    short = _short(samples)
    if not by_length:
        return
    middle = by_length[len(by_length) // 2]
    yield "an unpadded batch of three", [middle] * 3
    if padding:
        if len(short) > 1:
            yield f"a padded batch of {len(short)}", short
        yield "a batch of the longest and the shortest", [by_length[-1], by_length[0]]


def _short(samples: Sequence[Named]) -> list[int]:
    return [i for i, sample in enumerate(samples) if sample.short and not sample.alone]


def _alone(run: Runner, collate: Collate, sample: Named, outputs: Sequence[TensorInfo]) -> Arrays:
    return _batched(run, collate, [sample], outputs)[0]


def _batched(run: Runner, collate: Collate, samples: Sequence[Named], outputs: Sequence[TensorInfo]) -> list[Arrays]:
    if not samples:
        return []
    batch = collate([sample.row for sample in samples])
    raw = run(batch.arrays)
    return [
        {
            tensor.name: np.array(raw[tensor.name][i][span if "sequence" in tensor.axes[1:2] else ...])
            for tensor in outputs
        }
        for i, span in enumerate(batch.spans)
    ]


def _range(values: Iterable[NDArray[Any]]) -> float:
    arrays = [value for value in values if value.size]
    spread = float(max(a.max() for a in arrays) - min(a.min() for a in arrays))
    # An output that hardly varies is compared with its size: its last digits are noise in PyTorch too.
    return max(spread, 1e-3 * max(float(np.abs(a).max()) for a in arrays), 1e-6)
