"""What every plot is given: the record, its rows and findings, and how each backend looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from onnxpress_bench.comparison import Comparison
from onnxpress_bench.measures import Row, summarize
from onnxpress_bench.noise import Findings, findings
from onnxpress_bench.report.canvas import Look, looks


@dataclass(frozen=True, slots=True)
class Scene:
    """A record, ready to be shown."""

    comparison: Comparison
    rows: Sequence[Row]
    found: Findings
    looks: Mapping[str, Look]

    def row(self, *names: str) -> Row | None:
        """The first row there is of these measures."""
        return next((row for name in names for row in self.rows if row.name.split(" ")[0] == name), None)


def scene_of(comparison: Comparison) -> Scene:
    """The scene of a record."""
    rows = summarize(comparison)
    return Scene(comparison, rows, findings(comparison, rows), looks(comparison.names))
