"""The plots of a page: a table of what is drawn, what it is called, and what to see in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from onnxpress_bench.report.plots_depth import cold_start, forest, roofline
from onnxpress_bench.report.plots_speed import distribution, size_quality_speed, throughput
from onnxpress_bench.report.scene import Scene

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Plot:
    """`legend`: what the page has to say of colours and markers, since the figure itself does not."""

    name: str
    title: str
    caption: str
    draw: Callable[[Scene], Figure | None]
    legend: Literal["backends", "backends and control", "backends and ceilings", "parts"] = "backends"


PLOTS: tuple[Plot, ...] = (
    Plot(
        "distribution",
        "How long each call took",
        "The share of calls that took no longer than the time below, of all that were measured; the marker is the "
        "median. Further left is faster. A steep line is steady; a flat stretch at the top is a tail of slow calls.",
        distribution,
    ),
    Plot(
        "throughput",
        "Throughput against latency",
        "How much gets done, and how long one waits for an answer. Up and left is better; a backend with another one "
        "above and to the left of it has no reason to be chosen for its speed.",
        throughput,
    ),
    Plot(
        "size",
        "Size, answers, speed",
        "Bytes on disk against gain (dashed: no gain). The figure beside each marker is how near its answers are to "
        "the reference's; a crossed-out one gives WRONG answers, and its speed is worth nothing.",
        size_quality_speed,
    ),
    Plot(
        "forest",
        "Gains with their intervals",
        "More than 1 is better; an interval that contains 1 shows no difference. Hollow grey diamonds, where a control "
        "ran, are a backend against its own copy: as far as these stray from 1, so far can anything else by chance.",
        forest,
        legend="backends and control",
    ),
    Plot(
        "roofline",
        "How near to this machine's limit",
        "The lines are what this machine reached in the same run: on the slope, reading the weights is the limit, on "
        "the flat part arithmetic. The distance from a marker up to the lines is what is left to gain.",
        roofline,
        legend="backends and ceilings",
    ),
    Plot(
        "cold",
        "Cold start, part by part",
        "From starting the process to its first answer. From pale to strong: starting Python, importing libraries, "
        "loading the model, the first call.",
        cold_start,
        legend="parts",
    ),
)
