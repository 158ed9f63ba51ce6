"""English texts that a Python installation brings: the docstrings of its standard library. Nothing is tuned to them."""

from __future__ import annotations

import ast
import random
import sysconfig
from collections.abc import Iterator
from functools import cache
from pathlib import Path

#: Shorter ones say little ("Return the name."); of longer ones the beginning is taken.
LEAST_CHARACTERS, MOST_CHARACTERS = 40, 600

_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_LEFT_OUT = frozenset({"site-packages", "test", "tests", "idlelib", "lib2to3", "__pycache__"})


@cache
def docstrings(count: int | None = None, seed: int = 0, most_characters: int = MOST_CHARACTERS) -> tuple[str, ...]:
    """Choose `count` different docstrings, or all, in random order, with single spaces for white space.

    The same Python version and arguments give the same ones.
    """
    texts = list(dict.fromkeys(_all(most_characters)))
    random.Random(seed).shuffle(texts)  # noqa: S311 - texts, not secrets
    return tuple(texts[:count])


def _all(most_characters: int) -> Iterator[str]:
    root = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(root.rglob("*.py")):
        if _LEFT_OUT & set(path.relative_to(root).parts):
            continue
        tree = ast.parse(path.read_bytes())
        for node in ast.walk(tree):
            text = ast.get_docstring(node) if isinstance(node, _DOCUMENTED) else None
            if text and len(text) >= LEAST_CHARACTERS:
                yield " ".join(text.split())[:most_characters]
