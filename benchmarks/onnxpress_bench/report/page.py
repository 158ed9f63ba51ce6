"""A comparison as one HTML file: no network, no script; plots inside; for screens wide and narrow, and for paper.

What a reader needs to decide comes first, then how it was measured. sections.py holds the tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from onnxpress.errors import MissingDependency
from onnxpress.format.files import write_file
from onnxpress_bench.comparison import Comparison
from onnxpress_bench.report import sections
from onnxpress_bench.report.markup import Markup, bullets, element, join, section, text
from onnxpress_bench.report.plots import PLOTS, Plot
from onnxpress_bench.report.scene import Scene, scene_of
from onnxpress_bench.report.svg import to_svg
from onnxpress_bench.report.verdict import Verdict, verdicts, wrong_figures

#: The page may load nothing and run nothing, whatever a record's names hold.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def write_page(comparison: Comparison, path: Path) -> None:
    """Whole or not at all.

    Raises:
        MissingDependency: matplotlib is absent.
    """
    write_file(path, render_page(comparison).encode())


def render_page(comparison: Comparison) -> str:
    """The page.

    Raises:
        MissingDependency: matplotlib is absent.
    """
    if find_spec("matplotlib") is None:
        raise MissingDependency("A page with plots needs matplotlib: `pip install 'onnxpress[bench]'`.")
    scene = scene_of(comparison)
    title = f"{comparison.task}: {Path(comparison.model).name or comparison.model}"
    body = join(
        [
            _header(comparison, title),
            _cautions(scene),
            section(
                "The verdict",
                sections.quality(scene),
                _cards(scene, verdicts(comparison, scene.rows)),
                about=sections.RULE_OF_GAIN,
            ),
            section("Measures", sections.measures(scene), about="Medians; below each, the gain and its 95% interval."),
            section("Size and batches", sections.resources(comparison), sections.batchings(comparison)),
            section("Plots", _plots(scene)),
            section("This machine's limits", sections.limits(scene), about=sections.RULE_OF_LIMITS),
            section("Noise", sections.noise(scene)),
            section("Method", sections.method(comparison)),
            section("Machine", sections.machine(comparison), element("h3", "Versions"), sections.versions(comparison)),
            section("Command", element("pre", element("code", comparison.command))) if comparison.command else "",
            element(
                "footer",
                "Made by ",
                element("code", "onnxpress bench"),
                ". The record holds all samples; gains before times.",
            ),
        ],
        "\n",
    )
    style = Markup(files("onnxpress_bench.report").joinpath("style.css").read_text(encoding="utf-8"))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _header(comparison: Comparison, title: str) -> Markup:
    machine, settings = comparison.machine, comparison.settings
    date = comparison.created.replace("T", " ").replace("Z", " UTC")
    against = f"{comparison.base} running {comparison.checkpoint}" if comparison.checkpoint else comparison.base
    return element(
        "header",
        element("h1", title),
        element(
            "p",
            f"{date}, on {machine.processor}, {settings.threads} of {machine.usable_cores} usable cores",
            class_="sub",
        ),
        element("p", f"{comparison.model}, against {against}", class_="sub"),
    )


def _cautions(scene: Scene) -> Markup:
    """What must be known before a figure is read."""
    comparison = scene.comparison
    wrong = [backend.name for backend in comparison.backends if backend.control_of is None and wrong_figures(backend)]
    boxes = [
        _box(
            "wrong",
            f"WRONG answers: {', '.join(wrong)}",
            ["Faster or not: their answers are not the reference's."] if wrong else [],
        ),
        _box(
            "wrong", "Failed, and left out from there on", [sections.failed(failure) for failure in comparison.failures]
        ),
        _box("warn", "Before you trust the figures", [*scene.findings.warnings, *sections.doubts(comparison)]),
    ]
    return join(boxes)


def _box(kind: str, title: str, items: Sequence[str]) -> Markup:
    return element("div", element("strong", title), bullets(items), class_=f"box {kind}") if items else Markup("")


def _cards(scene: Scene, said: Sequence[Verdict]) -> Markup:
    return element("div", *(_card(scene, verdict) for verdict in said), class_="cards") if said else Markup("")


def _card(scene: Scene, said: Verdict) -> Markup:
    badge = sections.badge(scene.comparison.backend(said.backend))
    parts = [element("h3", said.backend, " ", badge), element("p", said.answers), element("p", said.summary)]
    for title, kind, items in (
        ("Better, with wrong answers" if said.wrong else "Better", "wrong" if said.wrong else "better", said.better),
        ("Worse", "worse", said.worse),
        ("No difference shown", "same", said.same),
    ):
        if items:
            parts += [element("h4", title, class_=kind), bullets(items)]
    return element(
        "article",
        *parts,
        class_="card wrong" if said.wrong else "card",
        style=f"--look:{scene.looks[said.backend].colour}",
    )


def _plots(scene: Scene) -> Markup:
    shown = [drawn for plot in PLOTS if (drawn := _plot(scene, plot))]
    return element("div", *shown, class_="plots") if shown else Markup("")


def _plot(scene: Scene, plot: Plot) -> Markup | None:
    figure = plot.draw(scene)
    if figure is None:
        return None
    svg = Markup(to_svg(figure, plot.name, plot.title, plot.caption))
    return element("figure", element("h3", plot.title), svg, element("figcaption", plot.caption))
