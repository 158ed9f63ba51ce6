"""Plots of speed: how long calls took, throughput against latency, and both against size and answers.

Each is a function from a scene to a figure, or to None where there is nothing to draw. Knows nothing of pages.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from onnxpress_bench.comparison import Comparison
from onnxpress_bench.measures import Row
from onnxpress_bench.report import canvas
from onnxpress_bench.report.canvas import ALARM, INK, SOFT
from onnxpress_bench.report.scene import Scene
from onnxpress_exporter.judging.wrong import is_wrong

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Rows that a sample's distribution is shown for -> what its panel is called.
_SPREAD = {
    r"latency_(?P<shape>\d+x\d+)_ms": "{rows} x {tokens:.0f} tokens",
    r"server_latency_ms": "server",
    r"first_token_(?P<prompt>\d+)_ms": "first token, prompt {prompt}",
    r"between_tokens_(?P<prompt>\d+)_(?P<new>\d+)_ms": "between tokens, prompt {prompt}",
}

#: Rows that throughput is read from, and latency, the most telling first.
_THROUGHPUT = ("server_rate", "mixed", "offline", "decode")
_LATENCY = ("server_p99", "latency_p50", "first_token")


def distribution(scene: Scene) -> Figure | None:
    """Each panel the share of calls that took no longer than the time below, of all raw samples."""
    panels = [
        (name, _panel_title(scene, name)) for name in _sample_names(scene.comparison) if _panel_title(scene, name)
    ]
    if not panels:
        return None
    figure, axes = canvas.canvas(30 + 105 * len(panels), len(panels))
    for one, (sample, title) in zip(axes, panels, strict=True):
        shown = []
        for name, look in scene.looks.items():
            runs = [run for run in scene.comparison.runs if run.backend == name]
            samples = sorted(value for run in runs for value in run.samples.get(sample, ()))
            if samples:
                share = [(i + 1) / len(samples) for i in range(len(samples))]
                one.plot(samples, share, color=look.colour, linestyle=look.line, linewidth=1.6, drawstyle="steps-post")
                middle = len(samples) // 2
                one.plot(samples[middle], share[middle], look.marker, color=look.colour, markersize=5)
                shown += [samples[0], samples[-1]]
        canvas.log_axis(one.xaxis, shown, margin=0.03)
        one.set_yticks([0, 0.5, 0.9], ["0%", "50%", "90%"])
        canvas.caption_axes(one, title=title)
    canvas.caption_axes(axes[-1], x="milliseconds (log)")
    return figure


def _sample_names(comparison: Comparison) -> list[str]:
    return list(dict.fromkeys(name for run in comparison.runs for name, some in run.samples.items() if some))


def _panel_title(scene: Scene, sample: str) -> str:
    for pattern, title in _SPREAD.items():
        match = re.fullmatch(pattern, sample)
        if match:
            groups = match.groupdict()
            shape = groups.get("shape", "")
            return title.format(rows=shape.split("x")[0], tokens=scene.comparison.tokens.get(shape, 0.0), **groups)
    return ""


def throughput(scene: Scene) -> Figure | None:
    """One point for each backend: how much it gets done, and how long one waits."""
    rate, wait = scene.row(*_THROUGHPUT), _longest(scene)
    both = [name for name in scene.looks if rate and wait and name in rate.values and name in wait.values]
    if rate is None or wait is None or len(both) < 2:
        return None
    figure, (axes,) = canvas.canvas(220)
    for name in both:
        look = scene.looks[name]
        axes.plot(wait.values[name], rate.values[name], look.marker, color=look.colour, markersize=9)
    canvas.log_axis(axes.xaxis, [wait.values[name] for name in both], margin=0.2, least=4)
    canvas.log_axis(axes.yaxis, [rate.values[name] for name in both], margin=0.2, least=4)
    canvas.caption_axes(axes, x=f"{wait.title} ({wait.unit}, log)", y=f"{rate.title} ({rate.unit}, log)")
    return figure


def _longest(scene: Scene) -> Row | None:
    """The row for latency; of those for single items, that of the longest."""
    row = scene.row(*_LATENCY)
    if row is None or not row.name.startswith("latency_p50"):
        return row
    alone = [one for one in scene.rows if one.name.startswith("latency_p50 1x")]
    return max(alone, key=lambda one: int(one.name.rpartition("x")[2]), default=row)


def size_quality_speed(scene: Scene) -> Figure | None:
    """One point for each backend: bytes on disk, gain, and beside it how good its answers are."""
    comparison = scene.comparison
    row = scene.row("mixed", "offline", "latency_p50", "decode", "real_time")
    if row is None or not row.gains:
        return None
    points: dict[str, tuple[float, float]] = {}
    for name in scene.looks:
        ratio = 1.0 if name == comparison.base else row.gains[name].ratio if name in row.gains else None
        stored = comparison.backend(name).model_bytes
        if ratio and stored:
            points[name] = stored / 1e6, ratio
    if len(points) < 2:
        return None
    figure, (axes,) = canvas.canvas(220)
    for name, point in points.items():
        look = scene.looks[name]
        axes.plot(*point, look.marker, color=look.colour, markersize=9)
        if _is_wrong(comparison, name):
            axes.plot(*point, "X", color=ALARM, markersize=15, markerfacecolor="none", markeredgewidth=1.6)
    canvas.log_axis(axes.xaxis, [point[0] for point in points.values()], margin=0.3, least=4)
    canvas.log_axis(axes.yaxis, [1.0, *(point[1] for point in points.values())], margin=0.2, least=3)
    axes.axhline(1, color=SOFT, linewidth=0.8, linestyle="dashed")
    names = list(points)
    colours = [ALARM if _is_wrong(comparison, name) else INK for name in names]
    canvas.label_points(axes, [points[name] for name in names], [_answers(comparison, name) for name in names], colours)
    canvas.caption_axes(axes, x="model on disk (MB, log)", y=f"gain, {row.title}")
    return figure


def _is_wrong(comparison: Comparison, name: str) -> bool:
    return any(is_wrong(figure, value) for figure, value in comparison.backend(name).quality.items())


def _answers(comparison: Comparison, name: str) -> str:
    """The figure that says most: the first that is wrong, or the last."""
    quality = comparison.backend(name).quality
    if not quality:
        return "the reference" if name == comparison.base else "not compared"
    wrong = [figure for figure in quality if is_wrong(figure, quality[figure])]
    value = quality[wrong[0]] if wrong else list(quality.values())[-1]
    return ("no number" if value is None else f"{value:.4f}") + (" WRONG" if wrong else "")
