"""A comparison as one HTML file: no network, no script; plots inside; for screens wide and narrow, and for paper.

What a reader needs to decide comes first, then how it was measured. The layout is page.html.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from onnxpress.format.files import write_file
from onnxpress_bench.comparison import Comparison
from onnxpress_bench.measures import Row
from onnxpress_bench.report import tables
from onnxpress_bench.report.layout import fill
from onnxpress_bench.report.notes import cautions, control_of, server_of, tails_of
from onnxpress_bench.report.plots import PLOTS
from onnxpress_bench.report.scene import Scene, scene_of
from onnxpress_bench.report.svg import to_svg
from onnxpress_bench.report.table import Table, table_of
from onnxpress_bench.report.verdict import verdicts, was_compared, wrong_figures
from onnxpress_bench.subject import check_installed


def write_page(comparison: Comparison, path: Path) -> None:
    """Whole or not at all.

    Raises:
        MissingDependency: matplotlib or jinja2 is absent.
    """
    write_file(path, render_page(comparison).encode())


def render_page(comparison: Comparison) -> str:
    """The page.

    Raises:
        MissingDependency: matplotlib or jinja2 is absent.
    """
    check_installed(("matplotlib",))
    from markupsafe import Markup

    scene = scene_of(comparison)
    drawn = [(plot, to_svg(partial(plot.draw, scene), plot.name, plot.title, plot.caption)) for plot in PLOTS]
    return fill(
        "page.html",
        comparison=comparison,
        scene=scene,
        tables=tables,
        title=f"{comparison.task}: {Path(comparison.model).name or comparison.model}",
        cautions=list(cautions(comparison, scene.findings)),
        badges={name: _badge(comparison, name) for name in comparison.names},
        verdicts=verdicts(comparison, scene.rows),
        quality=_quality(scene),
        control=control_of(comparison, scene.findings),
        server=server_of(comparison),
        tails=list(tails_of(comparison)),
        mean_tokens=[f"{name}: {mean:.0f}" for name, mean in comparison.tokens.items()],
        plots=[(plot, Markup(svg)) for plot, svg in drawn if svg],  # noqa: S704 - texts in it are escaped
    )


def _badge(comparison: Comparison, name: str) -> str:
    """In words whether the answers are right; nothing where they were not compared."""
    backend = comparison.backend(name)
    return "WRONG answers" if wrong_figures(backend) else "same answers" if was_compared(backend) else ""


def _quality(scene: Scene) -> Table:
    """How near each backend's answers are, and below it what it gains."""
    comparison, held = scene.comparison, tables.answers(scene.comparison)
    gains = [(row.title, tables.figures(comparison, row)) for row in _headlines(scene) if held]
    title = f"{held.title[0].upper()}{held.title[1:]}, and gains"
    return table_of(title, held.columns, [*held.rows, *gains], held.corner)


def _headlines(scene: Scene) -> list[Row]:
    """The first and the last latency, and one throughput."""
    compared = [row for row in scene.rows if row.gains]
    waits = [row for row in compared if row.name.split(" ")[0] in ("latency_p50", "first_token")]
    rates = [row for row in compared if row.name.split(" ")[0] in ("offline", "mixed", "decode")]
    return [*waits[:1], *waits[1:][-1:], *rates[-1:]]
