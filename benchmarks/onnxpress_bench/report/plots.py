"""The plots of a page: what is drawn, what it is called, and what to see in it, which is each function's description.

Each is a function from a scene to a figure, or to None where there is nothing to draw. Knows nothing of pages.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from onnxpress_bench.comparison import Comparison
from onnxpress_bench.measures import Row
from onnxpress_bench.report.scene import GREY, Look, Scene
from onnxpress_bench.report.svg import INK, empty_figure, hide_side, plain, set_log
from onnxpress_bench.report.tables import achieved
from onnxpress_exporter.judging.wrong import is_wrong

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Draw = Callable[[Scene], "Figure | None"]


@dataclass(frozen=True, slots=True)
class Plot:
    """A row of PLOTS."""

    name: str
    title: str
    caption: str
    draw: Draw


#: In the order of the page.
PLOTS: list[Plot] = []


def _plot(name: str, title: str) -> Callable[[Draw], Draw]:
    """Adds a function to PLOTS, with its description as the caption."""

    def add(draw: Draw) -> Draw:
        PLOTS.append(Plot(name, title, " ".join((draw.__doc__ or "").split()), draw))
        return draw

    return add


#: Samples whose distribution is shown -> what their panel is called.
_SPREAD = {
    r"latency_(?P<shape>\d+x\d+)_ms": "{rows} x {tokens:.0f} tokens",
    r"server_latency_ms": "server",
    r"first_token_(?P<prompt>\d+)_ms": "first token, prompt {prompt}",
    r"between_tokens_(?P<prompt>\d+)_(?P<new>\d+)_ms": "between tokens, prompt {prompt}",
}

#: Rows that throughput is read from, and latency, the most telling first.
_THROUGHPUT = ("server_rate", "mixed", "offline", "decode")
_LATENCY = ("server_p99", "latency_p50", "first_token")

#: Measures whose gains nearly always go with their median's, and are in the table.
_TAILS = ("latency_p90", "latency_p99", "between_tokens_p99")

#: An interval that reaches further than this factor beyond all ratios is cut off.
_REACH = 3.0

#: Parts of the cold start -> what they are called, and how strong their colour is.
_COLD_PARTS = {
    "cold_python": ("starting Python", 0.25),
    "cold_import": ("import", 0.5),
    "cold_load": ("load", 0.75),
    "cold_first_call": ("first call", 1.0),
}
_LONGEST_NAME = 44
_ALARM, _CONTROL = "#b3001b", Look(GREY, "D", "-")


@_plot("distribution", "How long each call took")
def _distribution(scene: Scene) -> Figure | None:
    """The share of calls that took no longer than the time below, of all that were measured; the marker is the median.
    Further left is faster. A steep line is steady; a flat stretch at the top is a tail of slow calls."""
    names = dict.fromkeys(name for run in scene.comparison.runs for name, some in run.samples.items() if some)
    panels = {name: title for name in names if (title := _panel_title(scene, name))}
    if not panels:
        return None
    figure, panes = empty_figure(60 + 105 * len(panels), len(panels))
    for axes, (sample, title) in zip(panes, panels.items(), strict=True):
        shown = []
        for name, look in scene.looks.items():
            runs = [run for run in scene.comparison.runs if run.backend == name]
            samples = sorted(value for run in runs for value in run.samples.get(sample, ()))
            if samples:
                axes.ecdf(samples, color=look.colour, linestyle=look.line, linewidth=1.6)
                axes.plot(samples[len(samples) // 2], 0.5, look.marker, color=look.colour)
                shown += [samples[0], samples[-1]]
        set_log(axes.xaxis, shown)
        axes.set_yticks([0, 0.5, 0.9], ["0%", "50%", "90%"])
        axes.set_title(plain(title))
    panes[-1].set_xlabel("milliseconds (log)")
    return _with_legend(figure, scene)


def _panel_title(scene: Scene, sample: str) -> str:
    for pattern, title in _SPREAD.items():
        match = re.fullmatch(pattern, sample)
        if match:
            groups = match.groupdict()
            shape = groups.get("shape", "")
            return title.format(rows=shape.split("x")[0], tokens=scene.comparison.tokens.get(shape, 0.0), **groups)
    return ""


def _with_legend(figure: Figure, scene: Scene, more: Iterable[tuple[str, Look]] = ()) -> Figure:
    """The looks of all backends above the figure."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=look.colour, marker=look.marker, linestyle=look.line, label=plain(_shorten(name)))
        for name, look in (*scene.looks.items(), *more)
    ]
    columns = 1 if any(len(name) > 24 for name in scene.looks) else 2
    figure.legend(handles=handles, loc="outside upper left", ncols=columns)
    return figure


def _shorten(name: str) -> str:
    """A name that fits into a plot; tables have it whole."""
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 3]}..."


def _scatter(scene: Scene, axes: Axes, points: dict[str, tuple[float, float]], x: str, title: str) -> None:
    for name, point in points.items():
        axes.plot(*point, scene.looks[name].marker, color=scene.looks[name].colour, markersize=9)
    set_log(axes.xaxis, [x for x, _ in points.values()])
    set_log(axes.yaxis, [y for _, y in points.values()])
    axes.margins(0.2)
    axes.set_xlabel(plain(x))
    axes.set_title(plain(title))


@_plot("throughput", "Throughput against latency")
def _throughput(scene: Scene) -> Figure | None:
    """How much gets done, and how long one waits for an answer. Up and left is better; a backend with another one above
    and to the left of it has no reason to be chosen for its speed."""
    rate, wait = scene.row(*_THROUGHPUT), _longest(scene)
    if rate is None or wait is None:
        return None
    both = [name for name in scene.looks if name in rate.values and name in wait.values]
    if len(both) < 2:
        return None
    figure, (axes,) = empty_figure(240)
    points = {name: (wait.values[name], rate.values[name]) for name in both}
    _scatter(scene, axes, points, f"{wait.title} ({wait.unit}, log)", f"{rate.title} ({rate.unit}, log)")
    return _with_legend(figure, scene)


def _longest(scene: Scene) -> Row | None:
    """The row for latency; of those for single items, that of the longest."""
    row = scene.row(*_LATENCY)
    if row is None or not row.name.startswith("latency_p50"):
        return row
    alone = [row for row in scene.rows if row.name.startswith("latency_p50 1x")]
    return max(alone, key=lambda row: int(row.name.rpartition("x")[2]), default=row)


@_plot("size", "Size, answers, speed")
def _size_quality_speed(scene: Scene) -> Figure | None:
    """Bytes on disk against gain (dashed: no gain). The figure beside each marker is how near its answers are to the
    reference's; a crossed-out one gives WRONG answers, and its speed is worth nothing."""
    comparison = scene.comparison
    row = scene.row("mixed", "offline", "latency_p50", "decode", "translate", "real_time")
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
    figure, (axes,) = empty_figure(240)
    _scatter(scene, axes, points, "model on disk (MB, log)", f"gain, {row.title}")
    axes.axhline(1, color=GREY, linewidth=0.8, linestyle="dashed")
    middle = math.sqrt(math.prod(axes.get_xlim()))
    for name, point in points.items():
        said, wrong = _answers(comparison, name)
        if wrong:
            axes.plot(*point, "X", color=_ALARM, markersize=15, markerfacecolor="none", markeredgewidth=1.6)
        left, colour = point[0] < middle, _ALARM if wrong else INK
        side = (9 if left else -9, 4)
        axes.annotate(said, point, side, textcoords="offset points", ha="left" if left else "right", color=colour)
    return _with_legend(figure, scene)


def _answers(comparison: Comparison, name: str) -> tuple[str, bool]:
    """The figure that says most, the first that is wrong, or the last; and whether it is wrong."""
    quality = comparison.backend(name).quality
    if not quality:
        return ("the reference" if name == comparison.base else "not compared"), False
    wrong = [figure for figure in quality if is_wrong(figure, quality[figure])]
    value = quality[wrong[0]] if wrong else list(quality.values())[-1]
    return ("no number" if value is None else f"{value:.4f}") + (" WRONG" if wrong else ""), bool(wrong)


@_plot("forest", "Gains with their intervals")
def _forest(scene: Scene) -> Figure | None:
    """More than 1 is better; an interval that contains 1 shows no difference. Hollow grey diamonds, where a control
    ran, are a backend against its own copy: as far as these stray from 1, so far can anything else by chance."""
    controls = {control.row: control.gain for control in scene.findings.controls}
    groups = []
    for row in scene.rows:
        gains = [(scene.looks[name], row.gains[name]) for name in scene.looks if name in row.gains]
        gains = [(look, gain) for look, gain in gains if gain.low is not None]
        if gains and not row.name.startswith(_TAILS):
            groups.append((row.title, [*gains, *([(_CONTROL, controls[row.name])] if row.name in controls else [])]))
    ratios = [gain.ratio for _, gains in groups for _, gain in gains]
    if not ratios:
        return None
    low, high = min(1, *ratios) / _REACH, max(1, *ratios) * _REACH
    lines = sum(1 + len(gains) for _, gains in groups)
    figure, (axes,) = empty_figure(75 + (11 if len(scene.looks) <= 5 else 8.5) * lines)
    place = 0
    for title, gains in groups:
        axes.text(0, place, plain(title), transform=axes.get_yaxis_transform(), va="center")
        for look, gain in gains:
            place += 1
            ends = max(gain.low or low, low), min(gain.high or high, high)
            inside = "none" if look is _CONTROL else look.colour
            axes.plot(ends, [place, place], color=look.colour, linewidth=1.8, solid_capstyle="butt")
            axes.plot(gain.ratio, place, look.marker, color=look.colour, markerfacecolor=inside)
        place += 1
    set_log(axes.xaxis, [low, high])
    axes.axvline(1, color=INK, linewidth=1, zorder=1)
    axes.set_ylim(lines - 0.4, -0.8)
    hide_side(axes)
    axes.set_xlabel(plain(f"gain over {scene.comparison.base}, 95% interval (log)"))
    return _with_legend(figure, scene, [("A/A control", _CONTROL)] if controls else [])


@_plot("roofline", "How near to this machine's limit")
def _roofline(scene: Scene) -> Figure | None:
    """The lines are what the best software reached in the same run: on the slope, reading the weights is the limit, on
    the flat part the best product measured. The distance up to the lines is what is left to gain."""
    limits, comparison = scene.comparison.limits, scene.comparison
    points = [
        (name, point[2], point[0])
        for row in scene.rows
        for name in scene.looks
        if name in row.values and (point := achieved(comparison, row, name))
    ]
    if limits is None or not points:
        return None
    ridge = limits.fp32_gemm_gflops / limits.read_gb_per_s
    low, high = min(ridge, *(x for _, x, _ in points)) / 3, max(ridge, *(x for _, x, _ in points)) * 3
    figure, (axes,) = empty_figure(270)
    ceilings = {f"fp32 product {limits.fp32_gemm_gflops:.4g}": (limits.fp32_gemm_gflops, Look(INK, "", "-"))}
    if limits.int8_gemm_gops is not None:
        ceilings[f"int8 product {limits.int8_gemm_gops:.4g}"] = limits.int8_gemm_gops, Look(INK, "", ":")
    for height, look in ceilings.values():
        bend = height / limits.read_gb_per_s
        axes.plot([low, bend, high], [low * limits.read_gb_per_s, height, height], look.line, color=INK, linewidth=1.3)
    for name, intensity, rate in points:
        look = scene.looks[name]
        axes.plot(intensity, rate, look.marker, color=look.colour, markersize=7)
    set_log(axes.xaxis, [low, high])
    set_log(axes.yaxis, [*(rate for _, _, rate in points), *(height for height, _ in ceilings.values())])
    axes.set_xlabel("operations per byte of weights (log)")
    axes.set_title("GFLOP/s (log)")
    return _with_legend(figure, scene, [(name, look) for name, (_, look) in ceilings.items()])


@_plot("cold", "Cold start, part by part")
def _cold_start(scene: Scene) -> Figure | None:
    """From starting the process to its first answer. From pale to strong: starting Python, importing libraries, loading
    the model, the first call."""
    parts = {name: row for name in _COLD_PARTS if (row := scene.row(name)) is not None}
    total = scene.row("cold_start")
    names = [name for name in scene.looks if total and name in total.values]
    if total is None or not parts or not names:
        return None
    figure, (axes,) = empty_figure(60 + 34 * len(names))
    for place, name in enumerate(names):
        left = 0.0
        for part, row in parts.items():
            said, share = _COLD_PARTS[part]
            width = row.values.get(name, 0.0)
            label = said if place == 0 else None
            axes.barh(place, width, 0.5, left, color=scene.looks[name].colour, alpha=share, label=label)
            left += width
        axes.text(0, place - 0.34, plain(f"{_shorten(name)}: {total.values[name]:.2f} s"))
    axes.set_ylim(len(names) - 0.6, -0.85)
    hide_side(axes)
    axes.set_xlabel("seconds")
    figure.legend(loc="outside upper left", ncols=2)
    return figure
