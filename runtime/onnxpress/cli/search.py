"""`onnxpress search`: models on the Hub. Parses, calls, prints."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from onnxpress.pipelines.searching import Match

#: The widths of the columns of a model's second line, which is indented and ends in "yes" or "no": 80 in all.
_WIDTHS = (24, 15, 16, 8, 6)
_HEADER = ("task", "layout", "precisions", "size", "loads")
_LEGEND = (
    "size: of the first precision's graphs; loads: downloads of the last month; runs:\n"
    "by the names of its files, `onnxpress inspect ID` tells for sure."
)


@click.command()
@click.argument("text", nargs=-1)
@click.option("--task", metavar="NAME", help="The Hub's name or an alias, such as ner.")
@click.option("--library", metavar="NAME", help="onnxpress, transformers.js, sentence-transformers, ...")
@click.option("--max-size", metavar="SIZE", help="Of a precision's graphs, such as 100MB.")
@click.option("--limit", type=click.IntRange(1, 100), default=10, show_default=True, help="How many at most.")
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each model.")
def search(
    text: tuple[str, ...], task: str | None, library: str | None, max_size: str | None, limit: int, as_json: bool
) -> None:
    """Search the Hub for models with ONNX graphs whose names have TEXT, the most downloaded first."""
    from onnxpress.pipelines.searching import parse_size
    from onnxpress.pipelines.searching import search as search_hub

    max_bytes = None if max_size is None else parse_size(max_size)
    matches = search_hub(" ".join(text) or None, task=task, library=library, max_bytes=max_bytes, limit=limit)
    if as_json:
        for match in matches:
            click.echo(json.dumps(asdict(match)))
    elif matches:
        click.echo("\n".join(_shown(matches)))
    else:
        click.echo("No model with ONNX graphs fits. Search for less, or export one: `onnxpress export ID`.")


def _shown(matches: Sequence[Match]) -> list[str]:
    """Two lines for each model, in 80 columns: a name may be as long as a line."""
    from onnxpress.errors import printable

    lines = ["model", _row(_HEADER, "runs"), "-" * 80]
    for match in matches:
        lines += [printable(match.id), printable(_row(_cells(match), "yes" if match.runs else "no"))]
        lines += [f"    {printable(match.why_not)}"] if match.why_not is not None else []
    return [*lines, "", _LEGEND]


def _cells(match: Match) -> tuple[str, ...]:
    from onnxpress.pipelines.figures import size

    names = list(match.sizes)
    precisions = ", ".join(names)
    for count in range(len(names) - 1, 0, -1):
        if len(precisions) > _WIDTHS[2]:
            precisions = f"{', '.join(names[:count])} +{len(names) - count}"
    volume = size(match.sizes[names[0]]) if names else "-"
    return match.task or "-", match.layout or "-", precisions or "-", volume, _thousands(match.downloads)


def _thousands(count: int) -> str:
    for power, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= power:
            return f"{count / power:.1f}{unit}"
    return str(count)


def _row(cells: Sequence[str], runs: str) -> str:
    fitted = [cell[:width].ljust(width) for cell, width in zip(cells, _WIDTHS, strict=True)]
    return f"  {' '.join(fitted)} {runs}".rstrip()
