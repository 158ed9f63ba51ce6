"""Reads fields of a body: the value, if it is of the right kind; otherwise an error that names the field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from onnxpress.serve.errors import RequestError, TooLarge

#: Tasks that continue texts.
WRITERS = ("text-generation",)

_KINDS = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
}

#: What clients send who take this server for another one: LangChain encodes texts for OpenAI's models.
FOREIGN = (
    "is a list of token ids, and token ids of another model's vocabulary give wrong vectors without an error: send "
    "texts. With LangChain: OpenAIEmbeddings(check_embedding_ctx_length=False)."
)


def optional(body: Mapping[str, Any], name: str, kind: type, usual: Any = None) -> Any:
    """A field that may be missing or null.

    Raises:
        RequestError: it is of another kind.
    """
    value = body.get(name)
    if value is None:
        return usual
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise RequestError(f"{name} is {value!r:.60}; it must be {_KINDS[kind]}.")
    return value


def needed(body: Mapping[str, Any], name: str, kind: type) -> Any:
    """A field that has to be there.

    Raises:
        RequestError: it is missing, or of another kind.
    """
    if body.get(name) is None:
        raise RequestError(f"{name} is missing; it must be {_KINDS[kind]}.")
    return optional(body, name, kind)


def whole_number(body: Mapping[str, Any], name: str, least: int, most: int) -> int | None:
    """A number within a range; None: it is missing.

    Raises:
        RequestError: it is none, or outside.
    """
    value: int | None = optional(body, name, int)
    if value is not None and not least <= value <= most:
        raise RequestError(f"{name} is {value}; it must be from {least} to {most}.")
    return value


def texts(body: Mapping[str, Any], name: str, most: int) -> tuple[list[str], bool]:
    """A text or a list of texts; and whether it is a list.

    Raises:
        RequestError: it is neither, an empty text, or empty.
        TooLarge: there are more than `most`.
    """
    value = body.get(name)
    if isinstance(value, str):
        value, many = [value], False
    else:
        many = True
    if not isinstance(value, list) or not value:
        raise RequestError(f"{name} must be a text or a list of texts, and not empty.")
    if is_token_ids(value):
        raise RequestError(f"{name} {FOREIGN}", code="token_ids")
    check_count(value, name, most)
    for place, text in enumerate(value):
        if not isinstance(text, str):
            raise RequestError(f"{name}[{place}] is {text!r:.60}; it must be a text.")
        if not text:
            where = f"{name}[{place}]" if many else name
            raise RequestError(f"{where} is empty.")
    return value, many


def check_count(values: Sequence[Any], name: str, most: int) -> None:
    """Raises:
    TooLarge: there are more inputs than are taken at once.
    """
    if len(values) > most:
        raise TooLarge(f"{name} has {len(values)} entries, and {most} are taken at once: send several requests.")


def is_token_ids(value: Sequence[Any]) -> bool:
    """Whether a list holds token ids, or lists of them."""
    first = value[0]
    if isinstance(first, list) and first:
        first = first[0]
    return isinstance(first, int) and not isinstance(first, bool)
