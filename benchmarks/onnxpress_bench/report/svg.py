"""A matplotlib figure as SVG that belongs into a page: text stays text, ink follows the page, ids are its own.

matplotlib's global state is left as it was: figures are made directly, without pyplot, and the settings hold while one
is drawn and written. Knows nothing of what is drawn.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable
from html import escape
from typing import TYPE_CHECKING

from onnxpress_bench.report.layout import FOLDER

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

#: Points. So narrow that on a phone a point is about a pixel, and the text stays legible.
WIDTH_PT = 310

#: Stands for the page's own ink, in page.mplstyle too; nothing else is drawn in it.
INK = "#010101"


def empty_figure(height_pt: float, panels: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure with panels one below the other, in the page's ink."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_PT / 72, height_pt / 72))
    return figure, list(figure.subplots(panels, 1, squeeze=False)[:, 0])


def hide_side(axes: Axes) -> None:
    """No vertical axis, where lines have names of their own."""
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(visible=False, axis="y")


def set_log(axis: Axis, values: Iterable[float]) -> None:
    """A logarithmic axis with round ticks, whether its values are near each other or far apart."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, StrMethodFormatter

    set_scale = axis.axes.set_xscale if axis is axis.axes.xaxis else axis.axes.set_yscale
    set_scale("log")
    known = list(values)
    far = max(known) > 10 * min(known)
    axis.set_major_locator(LogLocator(subs=(1.0, 3.0)) if far else MaxNLocator(5))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))


def plain(text: str) -> str:
    """Text of characters that matplotlib's font surely has."""
    return "".join(letter if " " <= letter <= "~" or "\xa1" <= letter <= "\xff" else "?" for letter in text)


def to_svg(draw: Callable[[], Figure | None], name: str, title: str, description: str) -> str:
    """What is drawn as an <svg> element to put into HTML, "" if nothing is; `name` makes its ids unlike others'."""
    import matplotlib

    file = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name}, fname=FOLDER / "page.mplstyle"):
        figure = draw()
        if figure is None:
            return ""
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->\s*", "", text, flags=re.DOTALL).replace("xlink:href", "href")
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
    text = re.sub(r' id="([^"]+)"', lambda match: f' id="{name}-{match[1]}"' if match[1] in used else "", text)
    text = re.sub(r'(href="#|url\(#)', rf"\1{name}-", text).replace(INK, "currentColor")
    text = re.sub(r"font: ([\d.]+)px [^;\"]+", r"font-size: \1px", text)
    width, height = (72 * inches for inches in figure.get_size_inches())
    opening = (
        f'<svg role="img" aria-labelledby="{name}-title {name}-desc" viewBox="0 0 {width:g} {height:g}">'
        f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-desc">{escape(description)}</desc>'
    )
    return re.sub(r"<svg[^>]*>", lambda _: opening, text, count=1).strip()
