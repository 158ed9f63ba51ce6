"""Pieces of JSON schema that several routes share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Schema = Mapping[str, Any]

OBJECT: Schema = {"type": "object"}
ANY: Schema = {}
TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 1}
TRUTH: Schema = {"type": "boolean"}
NUMBER: Schema = {"type": "number"}


def array(of: Schema, most: int | None = None) -> Schema:
    """A list."""
    return {"type": "array", "items": of} | ({} if most is None else {"maxItems": most})


def either(*kinds: Schema) -> Schema:
    """One of several."""
    return {"anyOf": list(kinds)}


def fields(required: Sequence[str] = (), **properties: Schema) -> Schema:
    """An object."""
    return {"type": "object", "properties": properties} | ({"required": list(required)} if required else {})


TEXTS = either(TEXT, array(TEXT))
VECTORS = array(array(NUMBER))
SCORES = array(fields(score=NUMBER, label=TEXT))
