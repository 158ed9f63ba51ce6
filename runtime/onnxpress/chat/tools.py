"""Reads the JSON schemas of a chat's tools from the type hints and Google-style docstrings of Python functions.

The result equals transformers' `get_json_schema`. Knows no template.
"""

from __future__ import annotations

import inspect
import json
import re
import types
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from onnxpress.errors import InputError

#: Python's types that JSON has, too.
_TYPES: Mapping[Any, dict[str, Any]] = {
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
    list: {"type": "array"},
    tuple: {"type": "array"},
    dict: {"type": "object"},
    Any: {},
}

_SCALARS = (int, float, str, bool, type(None))
_SECTION = r"[\n\s]*(?:{}|\Z)"
_SUMMARY = re.compile(r"^(.*?)" + _SECTION.format("Args:|Returns:|Raises:"), re.DOTALL)
_ARGUMENTS = re.compile(r"\n\s*Args:\n(.*?)" + _SECTION.format("Returns:|Raises:"), re.DOTALL)
_RETURNS = re.compile(r"\n\s*Returns:\n\s*(.*?)" + _SECTION.format("Raises:"), re.DOTALL)
# A name, a colon, and everything up to the next line with a name that is not indented deeper.
_ARGUMENT = re.compile(r"(?:^|\n)([ \t]*)(\w+):\s*(.*?)\s*(?=\n(?!\1[ \t])[ \t]*\w+:|\Z)", re.DOTALL)
_CHOICES = re.compile(r"\(choices:\s*(.*?)\)\s*$", re.IGNORECASE)


def tool_schemas(tools: Any) -> list[dict[str, Any]]:
    """Tools given as JSON schemas or as functions, all as JSON schemas.

    Raises:
        InputError: neither, or a function without the hints and descriptions that a schema needs.
    """
    if not isinstance(tools, Sequence) or isinstance(tools, str):
        raise InputError(f"tools must be a list of JSON schemas or functions, not {type(tools).__name__}.")
    return [_schema(tool) for tool in tools]


def _schema(tool: Any) -> dict[str, Any]:
    if isinstance(tool, dict):
        return tool
    if inspect.isfunction(tool) or inspect.ismethod(tool):
        return function_schema(tool)
    raise InputError(f"A tool is a JSON schema (a dictionary) or a function, not {type(tool).__name__}.")


def function_schema(function: Callable[..., Any]) -> dict[str, Any]:
    """The JSON schema of a function with type hints and a docstring that describes every argument.

    Raises:
        InputError: a hint or a description is missing, or a type that JSON has no word for.
    """
    name = getattr(function, "__name__", "operation")
    doc = (inspect.getdoc(function) or "").strip()
    if not doc:
        raise InputError(f"The tool {name} has no docstring, from which its description would be read. Write one.")
    summary, described, returned = _read(doc)
    hints = get_type_hints(function)
    properties: dict[str, Any] = {}
    required = []
    for parameter in _parameters(function):
        if parameter.annotation is inspect.Parameter.empty:
            raise InputError(f"The tool {name} has no type hint for its argument {parameter.name}. Add one.")
        if parameter.name not in described:
            raise InputError(f"The docstring of the tool {name} does not describe {parameter.name} below `Args:`.")
        if parameter.default is inspect.Parameter.empty:
            required.append(parameter.name)
        properties[parameter.name] = _described(_type(hints[parameter.name], name), described[parameter.name], name)
    parameters: dict[str, Any] = {"type": "object", "properties": properties}
    if required:
        parameters["required"] = required
    schema: dict[str, Any] = {"name": name, "description": summary, "parameters": parameters}
    result = _result(hints, name)
    if result is not None:
        schema["return"] = result | ({"description": returned} if returned is not None else {})
    return {"type": "function", "function": schema}


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    parameters = list(inspect.signature(function).parameters.values())
    implicit = parameters and parameters[0].name in ("self", "cls")
    if implicit and parameters[0].annotation is inspect.Parameter.empty:
        return parameters[1:]
    return parameters


def _result(hints: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """The type of what a function returns; None where there is none, or none that JSON has a word for."""
    if "return" not in hints:
        return None
    try:
        return _type(hints["return"], name)
    except InputError:  # no model writes it, so it may be left out
        return None


def _read(doc: str) -> tuple[str | None, dict[str, str], str | None]:
    """Read a docstring: its summary, the description of each argument, and that of the result."""
    summary, arguments, returned = _SUMMARY.search(doc), _ARGUMENTS.search(doc), _RETURNS.search(doc)
    lines = [line for line in arguments.group(1).split("\n") if line.strip()] if arguments else []
    entries = _ARGUMENT.findall("\n".join(lines))
    described = {name: re.sub(r"\s*\n+\s*", " ", text.strip()) for _, name, text in entries}
    return summary and summary.group(1).strip(), described, returned and returned.group(1).strip()


def _described(schema: dict[str, Any], text: str, name: str) -> dict[str, Any]:
    """Add a description to a schema. `(choices: [...])` at its end lists the values that the argument may have."""
    choices = _CHOICES.search(text)
    if choices is None:
        return schema | {"description": text}
    try:
        values = json.loads(choices.group(1))
    except ValueError as error:
        raise InputError(f"The tool {name}: the choices {choices.group(1)!r} are not a JSON list ({error}).") from None
    values = [value.strip() if isinstance(value, str) else value for value in values]
    return schema | {"enum": values, "description": text[: choices.start()].strip()}


def _type(hint: Any, name: str) -> dict[str, Any]:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _union([member for member in arguments if member is not type(None)], type(None) in arguments, name)
    if origin is Literal:
        return _values(list(arguments), name)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _values([member.value for member in hint], name)
    if origin is list:
        return {"type": "array", "items": _type(arguments[0], name)}
    if origin is tuple and len(arguments) > 1 and ... not in arguments:
        return {"type": "array", "prefixItems": [_type(item, name) for item in arguments]}
    if origin is dict:
        return {"type": "object", "additionalProperties": _type(arguments[1], name)}
    try:
        return dict(_TYPES[hint])
    except (KeyError, TypeError):
        raise InputError(
            f"The tool {name}: the type {hint!r} has no JSON schema. Use int, float, str, bool, list[...], dict, "
            "Literal or an Enum, or pass the tool's JSON schema instead of the function."
        ) from None


def _union(members: Sequence[Any], nullable: bool, name: str) -> dict[str, Any]:
    schemas = [_type(member, name) for member in members]
    if len(schemas) == 1:
        union = schemas[0]
    elif all(schema.keys() == {"type"} and isinstance(schema["type"], str) for schema in schemas):
        names = sorted({schema["type"] for schema in schemas})
        union = {"type": names[0] if len(names) == 1 else names}
    else:
        union = {"anyOf": schemas}
    return union | ({"nullable": True} if nullable else {})


def _values(values: list[Any], name: str) -> dict[str, Any]:
    if not values or any(type(value) not in _SCALARS for value in values):
        raise InputError(f"The tool {name}: the choices {values!r} are not numbers, texts, booleans or None.")
    names = list(dict.fromkeys(_TYPES[type(value)]["type"] for value in values))
    return {"type": names[0] if len(names) == 1 else names, "enum": values}
