"""Holds arrays against the reference's: the largest error as a fraction of an output's range, and what to say of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.format.manifest import Quality
from onnxpress_exporter.errors import VerificationFailed

Arrays = Mapping[str, NDArray[Any]]

#: Numbers that are compared at once.
NUMBERS_AT_ONCE = 1_000_000

#: Of the range: how far apart a reference's answers to one input may lie, read in its ways, and be called rounding.
MOST_ROUNDING = 5e-4
#: Two ways of a reference may be off by that much to either side of what is right, and so may the graph's.
_BOTH_SIDES = 2.0

#: An output's name and a place in it, in words.
Place = Callable[[str, tuple[int, ...]], str]


def place_in(name: str, at: tuple[int, ...]) -> str:
    """As Python would write it."""
    return f"{name}[{', '.join(map(str, at))}]"


@dataclass(slots=True)
class Comparison:
    """The largest errors of a variant so far.

    `ranges`: of each output; `place`: how a place is named; `limit` and `batch_limit`: what errors beside the
    reference, and beside the same input alone, may be at most. `rounding`: asked where an error is above them, how far
    the reference's own answers to that input lie apart: a graph need not be nearer to it than it is to itself.
    """

    precision: str
    ranges: Mapping[str, float]
    limit: float
    batch_limit: float
    place: Place = place_in
    rounding: Callable[[], float] = float
    excused: float = 0.0
    error: float = 0.0
    batch: float = 0.0
    count: int = 0

    def beside_reference(self, where: str, obtained: Arrays, expected: Arrays) -> None:
        """Compare with the reference's answer.

        Raises:
            VerificationFailed: the error is above its limit, here and below.
        """
        self.error = max(self.error, self.check(where, obtained, expected, self.limit))
        self.count += 1

    def beside_alone(self, where: str, obtained: Arrays, alone: Arrays) -> None:
        """Compare an answer in a batch with the same graph's answer to the input alone."""
        self.batch = max(self.batch, self.check(where, obtained, alone, self.batch_limit))
        self.count += 1

    def check(self, where: str, obtained: Arrays, expected: Arrays, limit: float) -> float:
        """The largest error of all outputs, where it is within a limit; not-a-number is beyond every one."""
        error, name = largest_error(obtained, expected, self.ranges)
        if error <= limit or self._is_rounding(error):
            return error
        a, b = obtained[name], expected[name]
        if a.shape != b.shape:
            shown = f"expected shape {b.shape}, obtained {a.shape}"
        else:
            at = np.unravel_index(int(np.nan_to_num(np.abs(a - b), nan=np.inf).argmax()), b.shape)
            place = self.place(name, tuple(map(int, at)))
            shown = (
                f"{place}: expected {b[at]:.6g}, obtained {a[at]:.6g} (error {error:.2g} of the output's range, "
                f"at most {limit:.0e} is allowed)"
            )
        raise failed(self.precision, where, shown)

    def _is_rounding(self, error: float) -> bool:
        """Whether an error is no larger than what the reference's own ways of reading the input come to."""
        rounding = self.rounding() if error <= _BOTH_SIDES * MOST_ROUNDING else 0.0
        if rounding > MOST_ROUNDING or error > _BOTH_SIDES * rounding:
            return False
        self.excused = max(self.excused, rounding)
        return True

    def quality(self, reference: str, inputs: int) -> Quality:
        """What the manifest says of it."""
        limit = max(self.limit, _BOTH_SIDES * self.excused)
        if self.excused:
            reference += (
                f", whose answers to one input, read in its two ways, differ by {self.excused:.1e} of their range"
            )
        return Quality(
            reference=reference,
            inputs=inputs,
            comparisons=self.count,
            max_error=self.error,
            max_error_limit=limit,
            batch_error=self.batch,
            batch_error_limit=max(self.batch_limit, _BOTH_SIDES * self.excused),
        )


def largest_error(obtained: Arrays, expected: Arrays, ranges: Mapping[str, float]) -> tuple[float, str]:
    """The largest error over all outputs, and the output that has it. Not-a-number counts as infinite."""
    worst, where = 0.0, ""
    for name, value in expected.items():
        if obtained[name].shape != value.shape:
            return float("inf"), name
        largest = max(_differences(obtained[name], value), default=0.0) / ranges[name]
        if not np.isfinite(largest):
            return float("inf"), name
        if largest >= worst:
            worst, where = largest, name
    return worst, where


def _differences(obtained: NDArray[Any], expected: NDArray[Any]) -> Iterator[float]:
    """The largest difference of some numbers at a time, infinite where there is not-a-number: in 64 bits, scores of all
    tokens of a text would be as large as a model."""
    a, b = obtained.ravel(), expected.ravel()
    for first in range(0, len(b), NUMBERS_AT_ONCE):
        part = slice(first, first + NUMBERS_AT_ONCE)
        difference = np.abs(a[part].astype(np.float64) - b[part].astype(np.float64))
        yield float(np.nan_to_num(difference.max(), nan=np.inf))


def failed(precision: str, where: str, shown: str) -> VerificationFailed:
    """The error of a graph whose answer to an input is another."""
    return VerificationFailed(f"The {precision} graph differs from PyTorch on the input {where}: {shown}.")
