"""What crosses the seams between raw inputs and graphs: samples, batches of them, and who makes each.

A modality is a processor (raw input -> sample) and a collator (samples -> batch). Everything between, the order of
the inputs, budgets, windows and streams, is pipelines/batching.py, which asks a sample for no more than its cost.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Sample:
    """One row of a batch, before it has neighbours.

    Args:
        arrays: by input of the graph, without the axis of the batch: `input_ids` int64 (sequence,), for example.
        cost: what it takes to compute it, counted in tokens of text; of other inputs, in what takes as long.
        context: carried along untouched.
    """

    arrays: Arrays
    cost: int
    context: Any = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples as a graph takes them: arrays (batch, ...).

    Args:
        arrays: by input of the graph.
        padded_axis: the name of the axis along which shorter samples are filled up; None: nothing is.
        spans: for each sample, where along that axis its own elements stand.
    """

    samples: tuple[Sample, ...]
    arrays: Arrays
    padded_axis: str | None = None
    spans: tuple[slice, ...] = ()

    def span(self, index: int) -> slice:
        """Where along the padded axis sample `index` has its own elements."""
        return self.spans[index] if self.spans else slice(None)

    @property
    def attention(self) -> NDArray[np.bool_]:
        """Where samples have elements of their own: bool (batch, padded axis)."""
        starts = np.array([[span.start] for span in self.spans])
        stops = np.array([[span.stop] for span in self.spans])
        places = np.arange(stops.max())
        return np.asarray((places >= starts) & (places < stops))

    def own(self, index: int, output: NDArray[Any], axes: Sequence[str | int]) -> NDArray[Any]:
        """Sample `index` of an output (batch, ...) with these axes, without padding, copied out of the batch."""
        span, whole = self.span(index), slice(None)
        places: tuple[Any, ...] = tuple(span if axis == self.padded_axis else whole for axis in axes[1:])
        return np.array(output[index][places])


class Collator(Protocol):
    """Samples -> a batch. The same sample gives the same answer whatever stands beside it in the batch."""

    def key(self, sample: Sample) -> Hashable:
        """Only samples with equal keys may share a batch."""

    def collate(self, samples: Sequence[Sample]) -> Batch:
        """The samples as one batch, in this order."""


class Processor(Protocol):
    """Raw inputs of one modality -> samples."""

    @property
    def collator(self) -> Collator:
        """What makes batches of these samples."""

    def sample(self, raw: Any, context: Any = None) -> Sample:
        """One raw input, such as a text or a picture, as a sample.

        Raises:
            InputError: it is none, or the model cannot take it.
        """


@runtime_checkable
class ReadsSideBySide(Protocol):
    """A processor of inputs that take long to read, as files of pictures do, and let other threads go on meanwhile."""

    @property
    def foreseen(self) -> int:
        """About what a sample costs, before its input is read."""
