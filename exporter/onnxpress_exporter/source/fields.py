"""Holds other libraries' files to the rule for our own: a field that is not understood is refused by name.

What it would have changed is unknown, and so is whether the answers were right without it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from onnxpress_exporter.errors import UnsupportedCheckpoint


def check_fields(fields: Mapping[str, Any], known: Collection[str], where: Path | str) -> None:
    """Refuse fields of the file, or of the object in it, `where` that are not `known`.

    Raises:
        UnsupportedCheckpoint: there is one; the message names it.
    """
    unknown = sorted(str(name) for name in fields if name not in known)
    if unknown:
        raise UnsupportedCheckpoint(
            f"{where} has the field {unknown[0]!r}, which this version does not understand, so that its answers might "
            f"be others. It knows: {', '.join(sorted(known))}."
        )


def object_in(fields: Mapping[str, Any], name: str, where: Path | str) -> dict[str, Any]:
    """The object that a field holds; empty where the field is absent or null.

    Raises:
        UnsupportedCheckpoint: it holds something else.
    """
    value = fields.get(name)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise UnsupportedCheckpoint(f"{where}: {name} should be an object, not {value!r:.60}.")
    return dict(value)


def whole_number(fields: Mapping[str, Any], name: str, where: Path | str) -> int | None:
    """The number from 1 on that a field holds; None where it is absent or null.

    Raises:
        UnsupportedCheckpoint: it holds something else.
    """
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UnsupportedCheckpoint(f"{where}: {name} should be a number from 1 on, not {value!r:.60}.")
    return value
