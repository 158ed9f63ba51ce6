"""Graphs that a task runs one after the other: what each is given while the task answers real inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from onnxpress.samples import Sample
from onnxpress_exporter.gate.base import Arrays, Runs
from onnxpress_exporter.gate.outputs import Collated, Named

#: Calls of one graph for one input that are kept: the first ones, and then each whose number is a power of two.
_FIRST = 3


class Recording:
    """A session that remembers what its graphs were given. `calls`: by graph, of the input that was asked last."""

    def __init__(self, session: Runs) -> None:
        self._session = session
        self.device = session.device
        self.calls: dict[str, list[Arrays]] = {}
        self._counts: dict[str, int] = {}

    def begin(self) -> None:
        """Forget, for another input."""
        self.calls, self._counts = {}, {}

    def run(self, inputs: Mapping[str, NDArray[Any]], graph: str = "model") -> dict[str, NDArray[Any]]:
        """As `Runs` says."""
        count = self._counts[graph] = self._counts.get(graph, 0) + 1
        if count <= _FIRST or count & (count - 1) == 0:
            self.calls.setdefault(graph, []).append({name: array.copy() for name, array in inputs.items()})
        return self._session.run(inputs, graph)

    def close(self) -> None:
        """The session belongs to who opened it."""


class RecordedProbe:
    """As `Probe` says, of calls that were recorded: none of them meets another."""

    pads = False

    def __init__(self, calls: Sequence[tuple[str, Arrays]]) -> None:
        self.samples = [
            Named(name, Sample(dict(arrays), max(array.size for array in arrays.values()), None), alone=True)
            for name, arrays in calls
        ]

    @property
    def shapes(self) -> Sequence[tuple[int, int]]:
        """(1, cost) at which the graph is timed."""
        return [(1, max(sample.row.cost for sample in self.samples))]

    def arrays(self, batch: int, cost: int) -> Arrays:
        """The call that costs the most."""
        return max((sample.row for sample in self.samples), key=lambda row: row.cost).arrays

    def collate(self, rows: Sequence[Sample]) -> Collated:
        """The call itself."""
        (row,) = rows
        return Collated(row.arrays, (slice(None),))
