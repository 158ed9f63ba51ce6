"""Fills a file of layouts/ with values: what stands where, and in which words, is in the layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from onnxpress.pipelines.figures import size
from onnxpress_bench.report import table
from onnxpress_bench.subject import check_installed

FOLDER = Path(__file__).parent / "layouts"


def fill(name: str, **values: Any) -> str:
    """The text of a layout, without the last line's end.

    In HTML every value is escaped, but for what is `markupsafe.Markup`.

    Raises:
        MissingDependency: jinja2 is absent.
    """
    check_installed(("jinja2",))
    import jinja2

    layouts = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=jinja2.select_autoescape(("html",), default=False),
        undefined=jinja2.StrictUndefined,
        finalize=_clean if name.endswith(".html") else None,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    layouts.globals |= {"gain_text": table.gain_text, "size": size}
    layouts.filters |= {"text": table.to_text, "markdown": table.to_markdown}
    return layouts.get_template(name).render(**values).rstrip("\n")


def _clean(value: Any) -> Any:
    """What no text file may hold becomes a question mark."""
    if type(value) is not str:
        return value
    shown = value.encode("utf-8", "replace").decode("utf-8")
    allowed = "\n\t\N{NO-BREAK SPACE}"
    return "".join(
        letter if letter.isprintable() or letter in allowed else "\N{REPLACEMENT CHARACTER}" for letter in shown
    )
