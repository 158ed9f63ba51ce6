"""The tokenizer's arguments that a call may carry in a dictionary (`tokenizer_kwargs`, `tokenize_kwargs`).

Knows their names in transformers and what they mean for one text; knows nothing of any task.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onnxpress.errors import InputError
from onnxpress.pipelines.base import TextPipeline
from onnxpress.pipelines.text_classification import strategy
from onnxpress.text.tokenizer import Encoding

_KNOWN = ("add_special_tokens", "max_length", "padding", "truncation")


def check_arguments(arguments: Any, name: str) -> None:
    """Refuse what is not a dictionary of known arguments.

    `padding` may be given, but not as "max_length": results here do not depend on padding.

    Raises:
        InputError: an unknown argument or a value that it cannot have.
    """
    if not isinstance(arguments, Mapping):
        raise InputError(f"{name} must be a dictionary, not {type(arguments).__name__}.")
    unknown = sorted(set(arguments) - set(_KNOWN))
    if unknown:
        raise InputError(f"{name} has {unknown[0]!r}; it may have: {', '.join(_KNOWN)}.")
    if arguments.get("padding") == "max_length":
        raise InputError(f'{name}: padding="max_length" is not offered: results do not contain padding.')
    length = arguments.get("max_length")
    if length is not None and (not isinstance(length, int) or isinstance(length, bool) or length < 1):
        raise InputError(f"{name}: max_length is {length!r}; it must be a positive number of tokens.")
    strategy(arguments.get("truncation"))


def encode(pipe: TextPipeline[Any], text: Any, arguments: Mapping[str, Any]) -> Encoding:
    """Encode one text with checked arguments. As in transformers, `max_length` alone cuts.

    Raises:
        InputError: not a text.
    """
    if not isinstance(text, str):
        raise InputError(f"{pipe.task} takes texts, got {type(text).__name__} {text!r:.60}.")
    chosen = strategy(arguments.get("truncation"))
    if chosen is None and arguments.get("truncation") is None and arguments.get("max_length") is not None:
        chosen = "longest_first"
    return pipe.tokenizer.encode(
        text,
        truncation=None if chosen is None else pipe.truncation(chosen, arguments.get("max_length")),
        special_tokens=bool(arguments.get("add_special_tokens", True)),
    )
