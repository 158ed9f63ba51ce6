"""Names mean one thing: public classes have one name each in a package, and variables are not called by fillers."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PACKAGES = ("runtime/onnxpress", "exporter/onnxpress_exporter", "benchmarks/onnxpress_bench")


def _public_classes(package: Path) -> Iterator[tuple[str, str]]:
    """Name and place of each class at the top level of a module."""
    for path in sorted(package.rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield node.name, f"{path.relative_to(package)}:{node.lineno}"


@pytest.mark.parametrize("package", PACKAGES)
def test_no_two_public_classes_have_one_name(package: str) -> None:
    places: dict[str, list[str]] = {}
    for name, place in _public_classes(REPOSITORY / package):
        places.setdefault(name, []).append(place)
    assert places, "the package has moved"
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


#: Words that say nothing of what they stand for.
FILLERS = frozenset({"one", "found", "own", "given", "made", "kept", "told"})


@pytest.mark.parametrize("package", PACKAGES)
def test_no_variable_is_called_by_a_filler(package: str) -> None:
    places = []
    for path in sorted((REPOSITORY / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            stored = node.id if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) else None
            name = node.arg if isinstance(node, ast.arg) else stored
            if name in FILLERS:
                places.append(f"{path.relative_to(REPOSITORY)}:{getattr(node, 'lineno', 0)}: {name}")
    assert places == []
