"""HTML from values. Every text is escaped here, and nowhere else; what is markup already says so with its type."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def text(value: str) -> Markup:
    """A value as HTML; markup stays as it is. What no text file may hold becomes a question mark."""
    if isinstance(value, Markup):
        return value
    shown = value.encode("utf-8", "replace").decode("utf-8")
    return Markup(
        escape(
            "".join(
                character
                if character.isprintable() or character in "\n\t\N{NO-BREAK SPACE}"
                else "\N{REPLACEMENT CHARACTER}"
                for character in shown
            )
        )
    )


def element(tag: str, *inside: str, **attributes: str) -> Markup:
    """An element; `class_` is the attribute class, `data_label` is data-label."""
    shown = "".join(f' {name.rstrip("_").replace("_", "-")}="{text(value)}"' for name, value in attributes.items())
    return Markup(f"<{tag}{shown}>{''.join(text(part) for part in inside)}</{tag}>")


def join(parts: Iterable[str], separator: str = "") -> Markup:
    """Parts one after the other."""
    return Markup(separator.join(text(part) for part in parts))


def section(title: str, *inside: str, about: str = "") -> Markup:
    """A heading, what to see in general terms, and the rest; nothing if there is nothing inside."""
    if not any(inside):
        return Markup("")
    lead = element("p", about, class_="about") if about else Markup("")
    return element("section", element("h2", title), lead, *inside)


def table(
    caption: str, header: Sequence[str], rows: Sequence[Sequence[str]], labels: Sequence[str] | None = None
) -> Markup:
    """A table that scrolls in its own frame where it is wide, and becomes a list of cards where the window is narrow.

    `labels` name the columns in cards, where the header holds more than names.
    The roles keep it a table for screen readers when the style sheet lays it out as cards.
    """
    if not rows:
        return Markup("")
    heads = (element("th", title, scope="col", role="columnheader") for title in header)
    top = element("thead", element("tr", *heads, role="row"), role="rowgroup")
    body = element("tbody", *(_row(labels or header, row) for row in rows), role="rowgroup")
    kind = "many" if len(header) > 6 else "few"
    inside = element("table", element("caption", caption), top, body, class_=kind, role="table")
    return element("div", inside, class_="frame", role="region", tabindex="0", aria_label=caption)


def _row(labels: Sequence[str], row: Sequence[str]) -> Markup:
    first = element("th", row[0], scope="row", role="rowheader")
    cells = (
        element("td", cell, class_="none" if cell in ("", "-") else "some", role="cell", data_label=label)
        for label, cell in zip(labels[1:], row[1:], strict=True)
    )
    return element("tr", first, *cells, role="row")


def fields(values: Mapping[str, str]) -> Markup:
    """Names and values, without those that are empty."""
    return element(
        "dl", *(element("div", element("dt", name), element("dd", value)) for name, value in values.items() if value)
    )


def bullets(items: Sequence[str], class_: str = "plain") -> Markup:
    """A list; nothing if it is empty."""
    return element("ul", *(element("li", item) for item in items), class_=class_) if items else Markup("")
