"""Prompts: texts that a checkpoint wants put before its inputs, by name. Knows no task."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from onnxpress.errors import InputError


def check_texts(**values: object) -> None:
    """Refuse a prompt, or a prompt's name, that is no text.

    Raises:
        InputError: one is neither a text nor None.
    """
    for name, value in values.items():
        if value is not None and not isinstance(value, str):
            raise InputError(f"{name} must be a text or None, not {value!r:.60}.")


def check_name(name: str | None, known: Collection[str]) -> None:
    """Refuse the name of a prompt that there is not.

    Raises:
        InputError: the name is not among those known.
    """
    if name is not None and name not in known:
        raise InputError(f"There is no prompt {name!r}; there are: {', '.join(sorted(known)) or 'none'}.")


def choose_prompt(prompts: Mapping[str, str], default: str | None, prompt: str | None, name: str | None) -> str:
    """The text to put before an input: the one asked for, else the named one, else the checkpoint's default."""
    if prompt is not None:
        return prompt
    chosen = name if name is not None else default
    return "" if chosen is None else prompts.get(chosen, "")
