"""`int(...)`, `torch.tensor(...)` and `torch.linspace(...)` in the code of models that take pictures of any size: they
would make a size that is not known while a graph is traced the one number that it is traced with, and the graph would
answer every picture in that size.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

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


def _numbers(data: Any) -> Iterator[Any]:
    """Those in lists of lists."""
    if isinstance(data, (list, tuple)):
        for part in data:
            yield from _numbers(part)
    else:
        yield data


def _is_open(data: Any) -> bool:
    """Whether all are whole numbers, of which one is not known yet."""
    kinds = [type(number) for number in _numbers(data)]
    return torch.SymInt in kinds and set(kinds) <= {torch.SymInt, builtins.int}


def _as_graph(data: Any) -> torch.Tensor:
    """Whole numbers in lists as a tensor of int64 that a graph computes."""
    if isinstance(data, (list, tuple)):
        return torch.stack([_as_graph(part) for part in data])
    return torch.scalar_tensor(data, dtype=torch.int64)


def _leaving_open(make: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """`torch.tensor` or `torch.as_tensor`, which would take the numbers that a graph is traced with."""

    def tensor(data: Any, *arguments: Any, **options: Any) -> torch.Tensor:
        if not arguments and _is_open(data):
            return _as_graph(data).to(options.get("device"), options.get("dtype") or torch.int64)
        return make(data, *arguments, **options)

    return tensor


def _linspace(make: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """`torch.linspace`, which counts from both ends."""

    def linspace(start: Any, end: Any, steps: Any, **options: Any) -> torch.Tensor:
        if not isinstance(steps, torch.SymInt):
            return make(start, end, steps, **options)
        count: Any = steps
        places = torch.arange(count, **options)
        step = (end - start) / torch.sym_max(count - 1, 1)  # type: ignore[no-untyped-call]
        return torch.where(places < count // 2, start + step * places, end - step * (count - 1 - places))

    return linspace


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
        for name in ("tensor", "as_tensor"):
            restored.enter_context(patch.object(torch, name, _leaving_open(getattr(torch, name))))
        restored.enter_context(patch.object(torch, "linspace", _linspace(torch.linspace)))
        yield
