"""Labels that a call names, and the sentences that are made of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Number
from typing import Any

from onnxpress.errors import InputError


def labels_of(value: Any) -> tuple[Any, ...]:
    """The candidate labels of a call: texts or numbers, or one text with commas between them.

    Raises:
        InputError: something else.
    """
    if isinstance(value, str):
        return tuple(label.strip() for label in value.split(",") if label.strip())
    labels = tuple(value) if isinstance(value, Iterable) else ()
    if not isinstance(value, Iterable) or not all(isinstance(label, (str, Number)) for label in labels):
        raise InputError(f"candidate_labels must be strings or numbers, or one string with commas, not {value!r:.60}.")
    return labels


def hypotheses_of(template: Any, labels: Sequence[Any], example: str) -> list[str]:
    """The template with each label.

    Args:
        example: a template, for messages.

    Raises:
        InputError: the template has no place for a label, or more than one kind of place.
    """
    try:
        if template.format("a") == template.format("b"):
            raise ValueError("it has no {}")
        return [template.format(label) for label in labels]
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"hypothesis_template {template!r:.80} cannot take a label ({error}). Write {{}} where the label goes, "
            f'as in "{example}"'
        ) from None


def check_labels(labels: Sequence[Any]) -> None:
    """Refuse a call that names no label.

    Raises:
        InputError: it names none.
    """
    if not labels:
        raise InputError("candidate_labels is empty: give at least one label.")
