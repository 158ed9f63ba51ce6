"""What scores of classes become: transformers' functions, and which of them a model's scores go through."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypedDict

from numpy.typing import NDArray

from onnxpress.errors import InputError
from onnxpress.format.manifest import Postprocessing
from onnxpress.math import sigmoid, softmax

FUNCTIONS: Mapping[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "sigmoid": sigmoid,
    "softmax": softmax,
    "none": lambda scores: scores,
}


class Classification(TypedDict):
    """`label`: a text, or a number where the checkpoint's config names its classes by numbers."""

    label: Any
    score: float


def function_name(value: Any) -> str:
    """The key in FUNCTIONS of a name in any case, or of an enum member that has it as value.

    Raises:
        InputError: there is no such function.
    """
    name = str(getattr(value, "value", value)).lower()
    if name not in FUNCTIONS:
        raise InputError(f"function_to_apply is {value!r}; it must be one of {', '.join(FUNCTIONS)}.")
    return name


def chosen_function(asked: Any, settings: Postprocessing) -> str:
    """The key in FUNCTIONS, in transformers' order: the argument, the problem type, the number of labels."""
    if asked is not None:
        return function_name(asked)
    if settings.problem_type == "regression":
        return "none"
    multi = settings.problem_type == "multi_label_classification"
    return "sigmoid" if multi or len(settings.labels) == 1 else "softmax"
