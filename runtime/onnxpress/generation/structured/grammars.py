"""Makes one grammar of the arguments of a call that say which form a text shall have. Knows no tokens.

JSON Schema's `oneOf` is kept where its alternatives exclude each other, which is then proved; grammars have only "any
of".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

from onnxpress.errors import InputError

Kind = Literal["json_schema", "regex", "grammar"]

#: Arguments of a call, of which one may be given.
ARGUMENTS = ("response_format", "json_schema", "regex", "grammar")

_TYPES = frozenset(("null", "boolean", "integer", "number", "string", "array", "object"))


@dataclass(frozen=True, slots=True)
class Grammar:
    """`text`: a JSON schema as JSON, a regular expression (syntax of Rust's regex crate), or a grammar (Lark's)."""

    kind: Kind
    text: str


def grammar_of(
    response_format: Any = None, json_schema: Any = None, regex: Any = None, grammar: Any = None
) -> Grammar | None:
    """The grammar that the arguments of a call ask for; None if none does.

    `response_format` is that of the OpenAI API: {"type": "json_schema", "json_schema": {"schema": ...}},
    {"type": "json_object"} or {"type": "text"}. A schema is a dictionary, JSON text, or a class with
    `model_json_schema()`.

    Raises:
        InputError: more than one is given, or one of them is not what it should be.
    """
    named = [name for name, value in zip(ARGUMENTS, (response_format, json_schema, regex, grammar), strict=True)
             if value is not None]  # fmt: skip
    if len(named) > 1:
        raise InputError(f"{' and '.join(named)} exclude each other: pass one of them.")
    if response_format is not None:
        json_schema = _schema_of(response_format)
    if json_schema is not None:
        return Grammar("json_schema", json.dumps(exclusive(_read(json_schema)), ensure_ascii=False))
    for kind, text in (("regex", regex), ("grammar", grammar)):
        if text is not None:
            if not isinstance(text, str) or not text:
                raise InputError(f"{kind} must be a text that is not empty, not {text!r:.60}.")
            return Grammar("regex" if kind == "regex" else "grammar", text)
    return None


def _schema_of(response_format: Any) -> Any:
    if hasattr(response_format, "model_json_schema"):
        return response_format
    kind = response_format.get("type") if isinstance(response_format, Mapping) else None
    if kind == "text":
        return None
    if kind == "json_object":
        return {"type": "object"}
    if kind == "json_schema":
        named = response_format.get("json_schema")
        if isinstance(named, Mapping) and "schema" in named:
            return named["schema"]
    raise InputError(
        'response_format must be {"type": "json_schema", "json_schema": {"schema": ...}}, {"type": "json_object"} or '
        f'{{"type": "text"}}, not {response_format!r:.100}.'
    )


def _read(schema: Any) -> Any:
    """The schema as plain JSON values."""
    if hasattr(schema, "model_json_schema"):
        schema = schema.model_json_schema()
    try:
        plain = json.loads(schema if isinstance(schema, str) else json.dumps(schema, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"The JSON schema is not JSON ({error}).") from None
    if not isinstance(plain, (dict, bool)):
        raise InputError(f"A JSON schema is an object, not {plain!r:.60}.")
    return plain


def exclusive(schema: Any) -> Any:
    """The schema with `anyOf` for each `oneOf` of which no value can match two alternatives."""
    if isinstance(schema, list):
        return [exclusive(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {
        # The values of these are data.
        key: value if key in ("const", "enum", "default", "examples") else exclusive(value)
        for key, value in schema.items()
    }
    choices = plain.get("oneOf")
    if isinstance(choices, list) and "anyOf" not in plain and all(_disjoint(*two) for two in combinations(choices, 2)):
        return {"anyOf" if key == "oneOf" else key: value for key, value in plain.items()}
    return plain


def _disjoint(first: Any, second: Any) -> bool:
    """Whether certainly no value matches both. What this does not understand, it calls not disjoint."""
    if not isinstance(first, dict) or not isinstance(second, dict):
        return False
    kinds = _types(first), _types(second)
    if not kinds[0] & kinds[1]:
        return True
    values = _values(first), _values(second)
    if values[0] is not None and values[1] is not None:
        return not values[0] & values[1]
    if kinds[0] & kinds[1] == {"object"}:
        properties = first.get("properties", {}), second.get("properties", {})
        both = (
            set(first.get("required", ())) & set(second.get("required", ())) & set(properties[0]) & set(properties[1])
        )
        return any(_disjoint(properties[0][name], properties[1][name]) for name in both)
    return False


def _types(schema: Mapping[str, Any]) -> frozenset[str]:
    """The types that a value may have: a number without a fraction is an integer, too."""
    if (values := _listed(schema)) is not None:
        names = {_type(value) for value in values}
    else:
        listed = schema.get("type", sorted(_TYPES))
        names = {listed} if isinstance(listed, str) else set(listed)
    return frozenset(names | ({"integer"} if "number" in names else set()))


def _type(value: Any) -> str:
    for kind, name in ((bool, "boolean"), ((int, float), "number"), (str, "string"), (list, "array"), (dict, "object")):
        if isinstance(value, kind):
            return name
    return "null"


def _listed(schema: Mapping[str, Any]) -> list[Any] | None:
    return [schema["const"]] if "const" in schema else schema.get("enum")


def _values(schema: Mapping[str, Any]) -> set[str] | None:
    """The values that are allowed, each as JSON; None: they are not listed."""
    values = _listed(schema)
    return None if values is None else {json.dumps(_number(value), sort_keys=True) for value in values}


def _number(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value
