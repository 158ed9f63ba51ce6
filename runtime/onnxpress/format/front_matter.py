"""The front matter of a model card, field by field as it is written. Reads no YAML: a field keeps its own lines."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

CARD = "README.md"
_FENCE = "---"
_KEY = re.compile(r"([A-Za-z_][\w-]*)\s*:(?:\s|$)")

#: What a card says of the model that stays true of what was made of it, in the order in which it is written.
CARRIED = ("license", "license_name", "license_link", "language", "base_model", "datasets")


@dataclass(frozen=True, slots=True)
class Card:
    """`fields`: name -> its lines, the first of which begins with the name. `body`: what follows, as Markdown."""

    fields: Mapping[str, tuple[str, ...]]
    body: str

    def values(self, name: str) -> tuple[str, ...]:
        """The value of a field, or those of its list, without quotes and remarks."""
        lines = self.fields.get(name, ())
        if not lines:
            return ()
        first = lines[0].partition(":")[2].strip()
        if first.startswith("[") and first.endswith("]"):
            texts = first[1:-1].split(",")
        else:
            texts = [first, *(line.strip().removeprefix("-") for line in lines[1:])]
        words = (text.partition(" #")[0].strip().strip("\"'") for text in texts)
        return tuple(word for word in words if word)

    def carried(self) -> dict[str, tuple[str, ...]]:
        """The fields that stay true of what is made of the model."""
        return {name: self.fields[name] for name in CARRIED if name in self.fields}

    def with_fields(self, fields: Mapping[str, Collection[str]]) -> Card:
        """The card with other lines for some fields; the others keep theirs, and their order."""
        return Card({**self.fields, **{name: tuple(lines) for name, lines in fields.items()}}, self.body)

    def __str__(self) -> str:
        lines = [line for of_field in self.fields.values() for line in of_field]
        return "\n".join([_FENCE, *lines, _FENCE, "", self.body.strip("\n"), ""])


def read_card(text: str) -> Card:
    """A card; one without front matter has no fields."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    lines = text.split("\n")
    if lines[0].rstrip() != _FENCE:
        return Card({}, text)
    end = next((number for number, line in enumerate(lines[1:], 1) if line.rstrip() == _FENCE), None)
    if end is None:
        return Card({}, text)
    fields: dict[str, list[str]] = {}
    name = None
    for line in lines[1:end]:
        if match := _KEY.match(line):
            name = match[1]
            fields[name] = [line]
        elif name is not None and line.strip():
            fields[name].append(line)
    return Card({key: tuple(of_field) for key, of_field in fields.items()}, "\n".join(lines[end + 1 :]))


def list_field(name: str, values: Collection[str]) -> tuple[str, ...]:
    """The lines of a field with a list of plain words."""
    return (f"{name}:", *(f"- {value}" for value in values))
