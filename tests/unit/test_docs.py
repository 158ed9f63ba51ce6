"""The documents say what the code does."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from onnxpress.format import manifest, processors, variants
from onnxpress.format.precisions import PRECISIONS
from onnxpress.pipelines import TASKS

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = [
    value
    for module in (manifest, processors, variants)
    for value in vars(module).values()
    if isinstance(value, type) and dataclasses.is_dataclass(value) and value.__module__ == module.__name__
]


@pytest.mark.parametrize("kind", SCHEMA, ids=lambda kind: kind.__name__)
def test_every_field_of_the_manifest_is_described(kind: type) -> None:
    text = (ROOT / "docs" / "artifact.md").read_text()
    missing = [field.name for field in dataclasses.fields(kind) if f"`{field.name}`" not in text]
    assert not missing


def test_the_readme_names_every_task() -> None:
    text = (ROOT / "README.md").read_text()
    assert not [task for task in TASKS if not re.search(rf"\b{task}\b", text)]


def test_every_task_and_its_aliases_are_described() -> None:
    text = (ROOT / "docs" / "usage.md").read_text()
    assert all(f"| {task}" in text for task in TASKS)
    described = set(re.findall(r"^\| [a-z0-9-]+ \(([a-z-]+)\) \|", text, re.MULTILINE))
    assert described and described <= {alias for task in TASKS.values() for alias in task.aliases}


def test_the_readme_is_a_landing_page() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 130


def test_every_precision_is_described() -> None:
    text = (ROOT / "docs" / "artifact.md").read_text()
    assert all(f"`{name}`" in text for name in PRECISIONS)


@pytest.mark.parametrize("path", [*sorted(ROOT.glob("docs/**/*.md")), ROOT / "README.md"], ids=lambda path: path.name)
def test_files_that_documents_name_exist(path: Path) -> None:
    for name in re.findall(r"`((?:runtime|exporter|benchmarks|tests|models|docs)/[\w./-]+)`", path.read_text()):
        assert "NAME" in name or (ROOT / name).exists(), name
