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


def array(of: Schema, most: int | None = None, least: int = 0) -> Schema:
    """A list."""
    bounds = ({"minItems": least} if least else {}) | ({} if most is None else {"maxItems": most})
    return {"type": "array", "items": of} | bounds


def either(*kinds: Schema) -> Schema:
    """One of several."""
    return {"anyOf": list(kinds)}


def fields(required: Sequence[str] = (), **properties: Schema) -> Schema:
    """An object."""
    return {"type": "object", "properties": properties} | ({"required": list(required)} if required else {})


SOME_TEXT: Schema = {"type": "string", "minLength": 1}
TEXTS = either(SOME_TEXT, array(SOME_TEXT, least=1))
VECTORS = array(array(NUMBER))
SCORES = array(fields(score=NUMBER, label=TEXT))
