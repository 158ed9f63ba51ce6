"""A matplotlib figure as SVG that belongs into a page: text stays text, ink follows the page, ids are its own.

Each backend has one look, the same in every plot. Knows nothing of what is drawn. matplotlib's global state is left as
it was: figures are made directly, without pyplot, and the settings of the SVG writer hold while one is written.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from onnxpress_bench.report.markup import Markup

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

#: Points. So narrow that on a phone a point is about a pixel, and the text stays legible.
WIDTH_PT = 310
FONT_PT = 9.5

#: Colours that stand for the page's own, in light and dark; nothing else is drawn in them.
INK, SOFT, RULE, REFERENCE, PAPER, ALARM = "#010101", "#020202", "#030303", "#040404", "#050505", "#060606"
_VARIABLES = {INK: "ink", SOFT: "soft", RULE: "rule", REFERENCE: "reference", PAPER: "paper", ALARM: "alarm"}

#: M. Okabe and K. Ito, Color Universal Design, 2008: told apart with any kind of colour vision. Yellow and black are
#: left out, since they vanish on white or on black; the last two are the palest.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")

#: Marker -> its outline in a square of 12 by 12, for the legend.
MARKERS = {
    "o": "M6 2a4 4 0 1 0 .01 0z",
    "s": "M2.5 2.5h7v7h-7z",
    "^": "M6 1.5l4.5 8h-9z",
    "D": "M6 1l5 5-5 5-5-5z",
    "v": "M6 10.5l-4.5-8h9z",
    "P": "M4.5 1.5h3v3h3v3h-3v3h-3v-3h-3v-3h3z",
    "p": "M6 1.5l4.7 3.4-1.8 5.6H3.1L1.3 4.9z",
}
DASHES = ("", "5 2", "1.5 1.5", "6 2 1.5 2")


@dataclass(frozen=True, slots=True)
class Look:
    """How a backend is drawn: colour, marker, and the dashes of its line ("" is solid)."""

    colour: str
    marker: str
    dashes: str

    @property
    def line(self) -> str | tuple[float, tuple[float, ...]]:
        """The dashes as matplotlib's line style."""
        return (0.0, tuple(float(one) for one in self.dashes.split())) if self.dashes else "solid"

    @property
    def css(self) -> str:
        """The colour as the page names it."""
        return _css(self.colour)


#: How the A/A control is drawn, hollow.
CONTROL = Look(SOFT, "D", "")


def looks(names: Sequence[str]) -> dict[str, Look]:
    """A look for each backend; the first is the one that the others are compared with. After six others colours come
    again, with other dashes; markers come again after seven, so no two of the first 42 look alike."""
    found = {}
    for place, name in enumerate(names):
        colour = PALETTE[(place - 1) % len(PALETTE)] if place else REFERENCE
        dashes = DASHES[(place - 1) // len(PALETTE) % len(DASHES)] if place else ""
        found[name] = Look(colour, list(MARKERS)[place % len(MARKERS)], dashes)
    return found


def key(look: Look) -> Markup:
    """A look as a small picture for the legend."""
    dashes = f' stroke-dasharray="{look.dashes}"' if look.dashes else ""
    inside = 'fill="var(--paper)" stroke="currentColor"' if look is CONTROL else 'fill="currentColor"'
    marker = f'<path d="{MARKERS[look.marker]}" transform="translate(9 0)" {inside}/>' if look.marker else ""
    return Markup(
        f'<svg class="key" viewBox="0 0 30 12" width="30" height="12" aria-hidden="true" style="color:{look.css}">'
        f'<path d="M0 6h30" stroke="currentColor" stroke-width="1.6" fill="none"{dashes}/>{marker}</svg>'
    )


def shade(share: float) -> Markup:
    """A part of a bar, for the legend."""
    return Markup(
        '<svg class="key" viewBox="0 0 18 12" width="18" height="12" aria-hidden="true" style="color:var(--reference)">'
        f'<path d="M0 1h18v10h-18z" fill="currentColor" fill-opacity="{share:g}"/></svg>'
    )


def canvas(height_pt: float, panels: int = 1) -> tuple[Figure, list[Axes]]:
    """An empty figure with panels one below the other, in the page's ink."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_PT / 72, height_pt / 72), layout="constrained", facecolor="none")
    axes = list(figure.subplots(panels, 1, squeeze=False)[:, 0])
    for one in axes:
        one.set_facecolor("none")
        one.tick_params(colors=SOFT, labelcolor=INK, labelsize=FONT_PT, length=3)
        for name, spine in one.spines.items():
            spine.set_color(SOFT)
            spine.set_visible(name in ("left", "bottom"))
        one.grid(color=RULE, linewidth=0.6)
        one.set_axisbelow(True)
    return figure, axes


def caption_axes(axes: Axes, x: str = "", y: str = "", title: str = "") -> None:
    """Names of the axes, and a title, all flush left, the vertical axis named above it, where there is room."""
    if x:
        axes.set_xlabel(plain(x), fontsize=FONT_PT, color=INK)
    text = "  ".join(part for part in (title, y) if part)
    if text:
        axes.set_title(plain(text), fontsize=FONT_PT, color=INK, loc="left", x=0.0)


def log_axis(axis: Axis, values: Sequence[float], *, margin: float = 0.08, least: float = 1.0) -> None:
    """A logarithmic axis around values, with a handful of round ticks however near or far apart they are.

    `margin`: room at both ends, as a share; `least`: the factor between the ends at the least, so that values which
    are nearly the same do not look far apart.
    """
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    low, high = math.log10(min(values)), math.log10(max(values))
    room = max(margin * (high - low), 0.03, (math.log10(least) - (high - low)) / 2)
    ends = 10 ** (low - room), 10 ** (high + room)
    if axis is axis.axes.xaxis:
        axis.axes.set_xscale("log")
        axis.axes.set_xlim(*ends)
    else:
        axis.axes.set_yscale("log")
        axis.axes.set_ylim(*ends)
    axis.set_major_locator(FixedLocator(ticks(*ends)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def ticks(low: float, high: float) -> list[float]:
    """Three to seven round numbers between two positive ones, fitting a logarithmic axis."""
    decades = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    whole = [10.0**one for one in decades if low <= 10.0**one <= high]
    if len(whole) >= 3:
        return whole[:: math.ceil(len(whole) / 6)]
    for digits in ((1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
        found = [digit * 10.0**one for one in decades for digit in digits if low <= digit * 10.0**one <= high]
        if 3 <= len(found) <= 7:
            return found
    step = 10.0 ** math.floor(math.log10((high - low) / 3))
    step = next(step * factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= 6)
    first = math.ceil(low / step)
    return [float(f"{one * step:.12g}") for one in range(first, math.floor(high / step) + 1)]


def label_points(
    axes: Axes, points: Sequence[tuple[float, float]], texts: Sequence[str], colours: Sequence[str]
) -> None:
    """A text beside each point, towards the wider side; texts too close are pushed apart, with a thin line back."""
    figure = axes.get_figure(root=True)
    if figure is None:
        raise ValueError("the axes belong to no figure")
    figure.draw_without_rendering()
    places = axes.transData.transform(points)
    box = axes.get_window_extent()
    scale = figure.dpi / 72
    step, last = (FONT_PT + 2) * scale, -math.inf
    order = sorted(range(len(points)), key=lambda i: float(places[i][1]))
    heights = []
    for i in order:
        last = max(float(places[i][1]), last + step)
        heights.append(last)
    over = max(0.0, heights[-1] - float(box.y1)) if heights else 0.0
    for i, height in zip(order, heights, strict=True):
        right = places[i][0] < box.x0 + 0.55 * box.width
        moved = (height - over - float(places[i][1])) / scale
        axes.annotate(
            plain(texts[i]),
            points[i],
            xytext=(11 if right else -11, moved),
            textcoords="offset points",
            ha="left" if right else "right",
            va="center",
            fontsize=FONT_PT,
            color=colours[i],
            bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.5, "alpha": 0.7},
            arrowprops={"arrowstyle": "-", "color": SOFT, "linewidth": 0.5} if abs(moved) > 3 else None,
        )


def plain(text: str) -> str:
    """Text that matplotlib takes literally: no formulas, and only characters that its font surely has."""
    shown = "".join(one if " " <= one <= "~" or "\xa1" <= one <= "\xff" else "?" for one in text)
    return shown.replace("$", r"\$")


def to_svg(figure: Figure, name: str, title: str, description: str) -> str:
    """The figure as an <svg> element to put into HTML; `name` makes its ids unlike those of other figures."""
    import matplotlib

    file = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "font.family": ["DejaVu Sans"]}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL).replace("xlink:href", "href")
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
    text = re.sub(r' id="([^"]+)"', lambda found: f' id="{name}-{found[1]}"' if found[1] in used else "", text)
    text = re.sub(r'(href="#|url\(#)', rf"\1{name}-", text)
    for colour in _VARIABLES:
        text = re.sub(rf"(fill|stroke): {colour}\b", rf"\1: {_css(colour)}", text)
    text = re.sub(r"font: ([\d.]+)px [^;\"]+", r"font-size: \1px", text)
    opening = (
        f'<svg role="img" aria-labelledby="{name}-title {name}-desc" viewBox="0 0 {figure.get_figwidth() * 72:g} '
        f'{figure.get_figheight() * 72:g}"><title id="{name}-title">{escape(title)}</title>'
        f'<desc id="{name}-desc">{escape(description)}</desc>'
    )
    return re.sub(r"<svg[^>]*>", lambda _: opening, text, count=1).strip()


def _css(colour: str) -> str:
    return f"var(--{_VARIABLES[colour]})" if colour in _VARIABLES else colour
