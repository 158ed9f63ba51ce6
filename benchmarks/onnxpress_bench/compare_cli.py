"""`onnxpress compare`: parses, calls, prints. Nothing is computed here."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from onnxpress_bench.options import names

#: Exit code when something regressed; 1 is an error, and 2 wrong usage, as everywhere.
REGRESSED = 3


@click.command(
    "compare",
    epilog="""\b
Exit codes:
  0  nothing regressed
  1  an error: a file is no record, or the two have nothing in common
  2  wrong usage
  3  a regression: a measure whose interval excludes 1 and whose median is worse by more than the threshold,
     answers that became wrong or dropped, or a backend that fails now

\b
Many measures are many chances of a false alarm: in automation name the few that matter with --measure.

\b
In continuous integration:
  onnxpress bench ARTIFACT --backend onnxpress,pytorch --json new.jsonl
  onnxpress compare main.jsonl new.jsonl --relative-to pytorch --measure latency_p50,mixed --threshold 5
""",
)
@click.argument("a", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("b", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--threshold",
    type=click.FloatRange(min=0),
    default=5.0,
    show_default=True,
    metavar="PERCENT",
    help="How much worse a median may be.",
)
@click.option(
    "--measure",
    "measures",
    multiple=True,
    callback=names,
    metavar="NAME",
    help="Only these, as latency_p50, 'latency_p50 1x16', mixed or cold_start. Repeatable (default: all).",
)
@click.option(
    "--relative-to",
    metavar="BACKEND",
    help="Compare gains over this backend of both records: then one of two machines, or hours, may be slower.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the changes as JSON.")
def compare_command(
    a: Path, b: Path, threshold: float, measures: tuple[str, ...], relative_to: str | None, as_json: bool
) -> None:
    """Find what regressed from record A to record B, both written by `onnxpress bench --json`.

    Says for each backend and measure that both have how many times better B is than A, with a 95% interval, and lists
    what B lacks.
    """
    from onnxpress_bench.record import read_record
    from onnxpress_bench.report.regression import differences
    from onnxpress_bench.report.regression_text import render, to_json
    from onnxpress_bench.subject import check_installed

    check_installed(("scipy", "jinja2"))
    before, after = read_record(a), read_record(b)
    changes = differences(before, after, threshold=threshold / 100, measures=measures, relative_to=relative_to)
    if as_json:
        click.echo(json.dumps(to_json(changes), indent=1, ensure_ascii=False))
    else:
        click.echo(render(changes, before, after))
    sys.exit(REGRESSED if changes.regressed else 0)
