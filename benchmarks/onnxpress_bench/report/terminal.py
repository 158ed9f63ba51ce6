"""A comparison as text for people, by the layout terminal.txt. Pure: a record in, text out."""

from __future__ import annotations

from onnxpress_bench.comparison import Comparison
from onnxpress_bench.measures import summarize
from onnxpress_bench.noise import findings
from onnxpress_bench.report import tables
from onnxpress_bench.report.layout import fill
from onnxpress_bench.report.notes import cautions, control_of, server_of, tails_of


def render(comparison: Comparison) -> str:
    """The tables of speed, quality and resources, and what a reader must know to trust them."""
    rows = summarize(comparison)
    trust = findings(comparison, rows)
    shown = (
        tables.measures(comparison, rows),
        tables.answers(comparison),
        tables.sizes(comparison),
        tables.achievements(comparison, rows),
    )
    return fill(
        "terminal.txt",
        comparison=comparison,
        versions=", ".join(f"{name} {version}" for name, version in tables.all_versions(comparison).items()),
        tables=shown,
        cautions=cautions(comparison, trust),
        tails=tails_of(comparison),
        server=server_of(comparison),
        control=control_of(comparison, trust),
    )
