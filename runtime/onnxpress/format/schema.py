"""JSON values to frozen dataclasses and back, with errors that name the field.

The dataclasses are the schema: their annotations say what is allowed (`str`, `int`, `float`, `bool`, `X | None`,
`Literal`, `tuple[X, ...]`, `Mapping[str, X]`, other dataclasses; of several dataclasses, the one that has the object's
`op`). A field without a default is required; a field
that the dataclass does not have is refused, because it may change the meaning of the rest. Fields that begin with
`x-` are other programs' notes: nobody may need them, so they are ignored.

This module does not know what a manifest is.
"""

from __future__ import annotations

import dataclasses
import math
import re
import sys
import types
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, TypeVar, Union, cast

from onnxpress.errors import InvalidManifest, UnsupportedFormat

T = TypeVar("T")

#: How the fields begin that every reader ignores.
NOTE_PREFIX = "x-"

#: The field that tells several dataclasses apart that may stand in one place.
TAG = "op"

_NAME = re.compile(r"[A-Za-z_]\w*")


def decode(kind: type[T], value: object, where: str) -> T:
    """Build a `kind` from a JSON value.

    Raises:
        InvalidManifest: a field is missing or of the wrong type; the message gives its path.
        UnsupportedFormat: there is a field that this version does not know.
    """
    return cast(T, _decode(kind, value, where))


def encode(value: object) -> Any:
    """The JSON value of a dataclass, the inverse of `decode`. Fields at their default are kept."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: encode(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [encode(item) for item in value]
    return value


def _decode(kind: Any, value: object, where: str) -> object:
    if dataclasses.is_dataclass(kind):
        return _decode_dataclass(cast(type, kind), value, where)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        return _decode_union(arguments, value, where)
    if origin is Literal:
        if value not in arguments:
            raise _wrong(where, " or ".join(map(repr, arguments)), value)
        return value
    if origin is tuple:
        if not isinstance(value, list):
            raise _wrong(where, "a list", value)
        return tuple(_decode(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is Mapping:
        if not isinstance(value, dict):
            raise _wrong(where, "an object", value)
        return {key: _decode(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    return _decode_scalar(kind, value, where)


def _decode_scalar(kind: Any, value: object, where: str) -> object:
    if kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        number = float(value)
        if not math.isfinite(number):
            raise _wrong(where, "a finite number", value)
        return number
    if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
        return value
    names = {str: "a string", int: "an integer", float: "a number", bool: "true or false"}
    raise _wrong(where, names.get(kind, "null"), value)


def _decode_union(kinds: tuple[Any, ...], value: object, where: str) -> object:
    if value is None and type(None) in kinds:
        return None
    for kind in (k for k in kinds if k in (str, int, float, bool)):
        if type(value) is kind or (kind is float and type(value) is int):
            return _decode_scalar(kind, value, where)
    structured = [k for k in kinds if k not in (str, int, float, bool, type(None))]
    if len(structured) > 1:
        return _decode(_tagged(structured, value, where), value, where)
    if structured:
        return _decode(structured[0], value, where)
    raise _wrong(where, " or ".join(getattr(k, "__name__", str(k)) for k in kinds), value)


def _tagged(kinds: list[Any], value: object, where: str) -> Any:
    """Which of several dataclasses an object is: the one whose field `TAG` it has."""
    names = {name: kind for kind in kinds for name in typing.get_args(_annotation(kind, TAG))}
    tag = value.get(TAG) if isinstance(value, dict) else None
    if not isinstance(tag, str) or tag not in names:
        raise UnsupportedFormat(
            f"{where}: {TAG} is {tag!r:.40}; this onnxpress knows {', '.join(names)}. Upgrade onnxpress, or export "
            "again."
        )
    return names[tag]


def _decode_dataclass(kind: type, value: object, where: str) -> object:
    if not isinstance(value, dict):
        raise _wrong(where, "an object", value)
    fields = _fields(kind)
    unknown = sorted(name for name in value if name not in fields and not name.startswith(NOTE_PREFIX))
    if unknown:
        raise UnsupportedFormat(
            f"{where}: unknown field {unknown[0]!r}. The file was written by a newer onnxpress, or is not an "
            "onnxpress manifest: upgrade onnxpress or export again."
        )
    decoded = {}
    for name, required in fields.items():
        if name in value:
            decoded[name] = _decode_field(kind, name, value[name], f"{where}.{name}")
        elif required:
            raise InvalidManifest(f"{where}: the field {name!r} is missing. Export again.")
    return kind(**decoded)


def _decode_field(kind: type, name: str, value: object, where: str) -> object:
    if value is None and kind.__annotations__[name].endswith("| None"):
        return None  # whatever else it may be, whose module is then not imported
    return _decode(_annotation(kind, name), value, where)


@cache
def _fields(kind: type) -> dict[str, bool]:
    """Field -> whether it is required."""
    return {
        f.name: f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        for f in dataclasses.fields(kind)
    }


@cache
def _annotation(kind: type, name: str) -> Any:
    """The type of one field, of whose names some may be imported later (`onnxpress.later`)."""
    text, module = kind.__annotations__[name], sys.modules[kind.__module__]
    names = {word: getattr(module, word) for word in _NAME.findall(text) if hasattr(module, word)}
    return typing.get_type_hints(types.SimpleNamespace(__annotations__={name: text}), vars(module), names)[name]


def _wrong(where: str, expected: str, value: object) -> InvalidManifest:
    shown = repr(value)
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    return InvalidManifest(f"{where}: expected {expected}, found {shown}. Export again.")
