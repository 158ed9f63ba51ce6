"""Plots of what is behind the speed: gains with their intervals, the machine's limit, the parts of a cold start.

Each is a function from a scene to a figure, or to None where there is nothing to draw. Knows nothing of pages.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from onnxpress_bench.report import canvas
from onnxpress_bench.report.canvas import CONTROL, FONT_PT, INK, PAPER, SOFT, Look
from onnxpress_bench.report.scene import Scene
from onnxpress_bench.report.terminal import achieved
from onnxpress_bench.statistics import Gain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLD_PARTS = {
    "cold_python": "starting Python",
    "cold_import": "import",
    "cold_load": "load",
    "cold_first_call": "first call",
}
#: Measures whose gains nearly always go with their median's, and are in the table.
_TAILS = ("latency_p90", "latency_p99", "between_tokens_p99")

PART_SHARES = (0.25, 0.5, 0.75, 1.0)

#: An interval that reaches further than this factor beyond all ratios is cut off, with an arrow.
_REACH = 3.0


def forest(scene: Scene) -> Figure | None:
    """Every gain with its interval, and beside it the control's: the same backend against itself."""
    controls = {one.row: one.gain for one in scene.found.controls}
    lines: list[tuple[str, Gain | None, Look | None]] = []
    for row in scene.rows:
        if row.name.startswith(_TAILS):
            continue
        gains = [(name, row.gains[name]) for name in scene.looks if name in row.gains]
        gains = [(name, gain) for name, gain in gains if gain.low is not None]
        if gains:
            lines.append((row.title, None, None))
            lines += [(name, gain, scene.looks[name]) for name, gain in gains]
            if row.name in controls:
                lines.append(("control", controls[row.name], CONTROL))
    ratios = [gain.ratio for _, gain, _ in lines if gain]
    if not ratios:
        return None
    figure, (axes,) = canvas.canvas(40 + (11 if len(scene.looks) <= 5 else 8.5) * len(lines))
    ends = [
        math.exp(math.log(end))
        for _, gain, _ in lines
        if gain
        for end in (gain.low, gain.high)
        if end and math.isfinite(end)
    ]
    low, high = max(min(ends), min([1, *ratios]) / _REACH), min(max(ends), max([1, *ratios]) * _REACH)
    canvas.log_axis(axes.xaxis, [low, 1.0, high], margin=0.05)
    left, right = axes.get_xlim()
    for place, (text, gain, look) in enumerate(lines):
        if gain is None or look is None:
            axes.text(
                left,
                place + 0.25,
                canvas.plain(text),
                fontsize=FONT_PT,
                color=INK,
                va="center",
                bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.5},
            )
        else:
            _interval(axes, place, gain, look, left, right)
    axes.axvline(1, color=INK, linewidth=1, zorder=1)
    axes.set_ylim(len(lines) - 0.4, -0.8)
    axes.set_yticks([])
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    canvas.caption_axes(axes, x=f"gain over {scene.comparison.base}, 95% interval (log)")
    return figure


def _interval(axes: Axes, place: int, gain: Gain, look: Look, left: float, right: float) -> None:
    low, high = max(gain.low or left, left), min(gain.high or right, right)
    width, inside = (1.2, PAPER) if look is CONTROL else (1.8, look.colour)
    axes.plot([low, high], [place, place], color=look.colour, linewidth=width, solid_capstyle="butt")
    axes.plot(gain.ratio, place, look.marker, color=look.colour, markersize=5, markerfacecolor=inside)
    for end, limit, arrow in ((gain.low, left, "<"), (gain.high, right, ">")):
        if end is not None and (end < limit if arrow == "<" else end > limit):
            axes.plot(limit, place, arrow, color=look.colour, markersize=5, clip_on=False)


def ceilings(scene: Scene) -> dict[str, tuple[float, str]]:
    """What this machine does at most, in 10^9 operations per second: what it is -> height and dashes of its line."""
    limits = scene.comparison.limits
    if limits is None:
        return {}
    found = {"fp32 product": (limits.fp32_gemm_gflops, "")}
    if limits.int8_gemm_gops is not None:
        found["int8 product"] = (limits.int8_gemm_gops, "1.5 1.5")
    return found


def roofline(scene: Scene) -> Figure | None:
    """A point for each backend and shape, below what this machine allows."""
    limits, comparison = scene.comparison.limits, scene.comparison
    points: list[tuple[str, str, tuple[float, float]]] = []
    for row in scene.rows:
        for name in scene.looks:
            found = achieved(comparison, row, name) if name in row.values else None
            if found:
                points.append((name, row.name.partition(" ")[2], (found[2], found[0])))
    if limits is None or not points:
        return None
    figure, (axes,) = canvas.canvas(240)
    ridge = limits.fp32_gemm_gflops / limits.read_gb_per_s
    intensities = [point[0] for _, _, point in points]
    low, high = min(*intensities, ridge) / 3, max(*intensities, ridge) * 3
    axes.plot([low, ridge], [low * limits.read_gb_per_s, limits.fp32_gemm_gflops], color=INK, linewidth=1.4)
    heights = [height for height, _ in ceilings(scene).values()]
    for height, dashes in ceilings(scene).values():
        begin = min(ridge, height / limits.read_gb_per_s)
        axes.plot([begin, high], [height, height], color=INK, linewidth=1.2, linestyle=Look(INK, "o", dashes).line)
    for name, _, point in points:
        look = scene.looks[name]
        axes.plot(*point, look.marker, color=look.colour, markersize=7, markeredgecolor=PAPER, markeredgewidth=0.5)
    canvas.log_axis(axes.xaxis, [low, high], margin=0)
    canvas.log_axis(axes.yaxis, [min(point[1] for _, _, point in points) / 2, *heights], margin=0.12)
    for shape, intensity in {shape: point[0] for _, shape, point in reversed(points)}.items():
        axes.text(
            intensity,
            axes.get_ylim()[0] * 1.06,
            canvas.plain(f" {shape}"),
            rotation=90,
            fontsize=FONT_PT - 1.5,
            color=SOFT,
            ha="center",
            va="bottom",
        )
    canvas.caption_axes(axes, x="operations per byte of weights (log)", y="GFLOP/s (log)")
    return figure


def cold_start(scene: Scene) -> Figure | None:
    """A bar for each backend, in parts one after the other."""
    parts = {name: row for name in COLD_PARTS if (row := scene.row(name)) is not None}
    total = scene.row("cold_start")
    names = [name for name in scene.looks if total and name in total.values]
    if total is None or not parts or not names:
        return None
    figure, (axes,) = canvas.canvas(46 + 34 * len(names))
    longest = max(total.values[name] for name in names)
    for place, name in enumerate(names):
        left, look = 0.0, scene.looks[name]
        for share, row in zip(PART_SHARES, parts.values(), strict=False):
            width = row.values.get(name, 0.0)
            axes.barh(place, width, 0.5, left, color=look.colour, alpha=share, edgecolor=PAPER, linewidth=0.5)
            left += width
        axes.text(0, place - 0.34, canvas.plain(name), fontsize=FONT_PT, color=INK, va="bottom")
        axes.text(
            left + 0.01 * longest, place, f" {total.values[name]:.2f} s", fontsize=FONT_PT, color=INK, va="center"
        )
    axes.set_ylim(len(names) - 0.6, -0.85)
    axes.set_xlim(0, longest * 1.2)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    canvas.caption_axes(axes, x="seconds")
    return figure
