"""`int(...)` in the code of models that take pictures of any size: it would make a size that is not known while a graph
is traced the one number that it is traced with, and the graph would answer every picture in that size.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch


class _AsInt(type):
    """Answers `isinstance(value, int)` and `issubclass(kind, int)` as `int` does."""

    def __instancecheck__(cls, value: Any) -> bool:
        return isinstance(value, builtins.int)

    def __subclasscheck__(cls, kind: type) -> bool:
        return issubclass(kind, builtins.int)


class _Whole(metaclass=_AsInt):
    """`int`, which leaves a whole number that is not known yet as it is."""

    def __new__(cls, *arguments: Any) -> Any:
        if len(arguments) == 1 and isinstance(arguments[0], torch.SymInt):
            return arguments[0]
        return builtins.int(*arguments)


@contextmanager
def sizes_left_open(model: torch.nn.Module) -> Iterator[None]:
    """While a graph is traced, in the modules that the parts of a model of transformers are defined in; restored on
    exit."""
    with ExitStack() as restored:
        for name in {type(part).__module__ for part in model.modules()}:
            module = sys.modules.get(name)
            if name.startswith("transformers.models.") and module is not None and "int" not in vars(module):
                restored.callback(delattr, module, "int")
                setattr(module, "int", _Whole)  # noqa: B010 - a name that type checkers know as another thing
        yield
