"""Names of a module that are imported when they are first used, so that what a program needs costs it no more."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def later(module: str, places: Mapping[str, tuple[str, ...]]) -> Callable[[str], Any]:
    """The `__getattr__` of a module (PEP 562) whose names stand in other modules.

    Args:
        module: its `__name__`.
        places: module -> the names that are imported from it.
    """
    sources = {name: source for source, names in places.items() for name in names}

    def find(name: str) -> Any:
        if name not in sources:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        value = getattr(import_module(sources[name]), name)
        setattr(sys.modules[module], name, value)
        return value

    return find
