"""The one table that reports are made of, and how it becomes text or Markdown (page.html makes it HTML). Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from onnxpress.cli import inspection
from onnxpress.pipelines.figures import size
from onnxpress_bench.statistics import Gain

#: A cell with nothing to show.
NONE = "-"


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in a table. `gain`: over the base; `wrong`: answers so far off that nothing else counts."""

    text: str
    gain: Gain | None = None
    wrong: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """`title` stands above the first column, or above it all; `columns` name the others. Each row begins with its name.
    `corner` names what rows are, where the title stands above it all."""

    title: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Cell]]]
    corner: str = ""

    def __bool__(self) -> bool:
        return bool(self.rows)


def table_of(
    title: str, columns: Sequence[str], rows: Iterable[tuple[str, Sequence[Cell | str]]], corner: str = ""
) -> Table:
    """A table, without the rows that have nothing to show; cells may be texts."""
    cells = [(name, [Cell(cell) if isinstance(cell, str) else cell for cell in row]) for name, row in rows]
    return Table(title, columns, [(name, row) for name, row in cells if {cell.text for cell in row} != {NONE}], corner)


def to_text(table: Table) -> str:
    """Aligned columns; gains stand in columns of their own."""
    compared = [any(row[place].gain for _, row in table.rows) for place in range(len(table.columns))]
    header = [table.title]
    for name, gains in zip(table.columns, compared, strict=True):
        header += [name, "gain [95% interval]"] if gains else [name]
    lines = []
    for name, row in table.rows:
        line = [name]
        for cell, gains in zip(row, compared, strict=True):
            line.append(f"{cell.text} WRONG" if cell.wrong else cell.text)
            line += [gain_text(cell.gain) if cell.gain else ""] if gains else []
        lines.append(line)
    return inspection.table(header, lines)


def to_markdown(table: Table) -> str:
    """A table of GitHub's Markdown; a gain stands beside its figure."""
    lines = [[table.title, *table.columns], ["---"] * (1 + len(table.columns))]
    for name, row in table.rows:
        shown = (
            f"{cell.text}, {times(cell.gain.ratio)}{interval(cell.gain)}" if cell.gain else cell.text for cell in row
        )
        marks = (" **wrong answers**" if cell.wrong else "" for cell in row)
        lines.append([name.strip(), *(text + mark for text, mark in zip(shown, marks, strict=True))])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


_FORMATS: Mapping[str, Callable[[float], str]] = {
    "ms": lambda value: f"{value:.2f} ms",
    "s": lambda value: f"{value:.2f} s",
    "B": size,
}


def figure(value: float | None, unit: str) -> str:
    """A figure with its unit."""
    if value is None:
        return NONE
    return _FORMATS[unit](value) if unit in _FORMATS else f"{value:.4g} {unit}"


def times(ratio: float) -> str:
    """A ratio with three digits."""
    return f"{ratio:.2f}x" if ratio < 10 else f"{ratio:.1f}x"


def interval(gain: Gain, digits: int = 2) -> str:
    """The interval after its ratio; nothing where there is none."""
    return "" if gain.low is None or gain.high is None else f" [{gain.low:.{digits}f}, {gain.high:.{digits}f}]"


def gain_text(gain: Gain) -> str:
    """A gain, its interval and, unless it is better, its verdict."""
    if gain.low is None or gain.high is None:
        return f"{times(gain.ratio)} (one block: no interval)"
    verdict = "" if gain.verdict == "better" else f" {gain.verdict}"
    return f"{times(gain.ratio)}{interval(gain)}{verdict}"
