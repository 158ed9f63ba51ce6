"""What every plot is given: the record, its rows and findings, and how each backend looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Literal

from onnxpress_bench.comparison import Comparison
from onnxpress_bench.measures import Row, summarize
from onnxpress_bench.noise import Findings, findings

#: M. Okabe and K. Ito, Color Universal Design, 2008: told apart with any kind of colour vision. Yellow and black are
#: left out, since they vanish on white or on black; the last two are the palest.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")

#: The reference, and the A/A control, between light and dark pages.
GREY = "#7a828c"

Line = Literal["-", "--", ":", "-."]

_MARKERS = "os^DvPp"
_LINES: tuple[Line, ...] = ("-", "--", ":", "-.")


@dataclass(frozen=True, slots=True)
class Look:
    """How a backend is drawn, in matplotlib's names: colour, marker, line style."""

    colour: str
    marker: str
    line: Line


@dataclass(frozen=True, slots=True)
class Scene:
    """A record, ready to be shown."""

    comparison: Comparison
    rows: Sequence[Row]
    findings: Findings
    looks: Mapping[str, Look]

    def row(self, *names: str) -> Row | None:
        """The first row there is of these measures."""
        return next((row for name in names for row in self.rows if row.name.split(" ")[0] == name), None)


def scene_of(comparison: Comparison) -> Scene:
    """The scene of a record."""
    rows = summarize(comparison)
    return Scene(comparison, rows, findings(comparison, rows), _looks(comparison.names))


def _looks(names: Sequence[str]) -> dict[str, Look]:
    """A look for each backend; the first is the reference. After six others colours come again, with other lines;
    markers come again after seven, so no two of the first 42 look alike."""
    looks, markers = {}, cycle(_MARKERS)
    for place, name in enumerate(names):
        again, colour = divmod(max(place - 1, 0), len(PALETTE))
        looks[name] = Look(PALETTE[colour] if place else GREY, next(markers), _LINES[again % len(_LINES)])
    return looks
