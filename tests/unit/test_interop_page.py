"""docs/interop.md is what the record says, and docs/migration-optimum.md what its tables do."""

from __future__ import annotations

import re
import tomllib

import click
import pytest

from onnxpress.cli.main import program
from onnxpress.pipelines import TASKS
from tests.fixtures import interop, migration_optimum
from tests.fixtures.interop import ROOT, SAME, Seen, difference, page, read_record

OPTIMUM_PAGE = ROOT / "docs" / "migration-optimum.md"


def test_the_page_is_what_the_record_says() -> None:
    assert interop.PAGE.read_text(encoding="utf-8") == page(read_record()), "run python -m tests.fixtures.interop"


def test_a_cell_names_variants_and_what_differs() -> None:
    rows = [
        Seen(True, "tool", "1", "onnxpress", "ner", "int8", 2e-3),
        Seen(True, "tool", "1", "onnxpress", "ner", "fp32", SAME / 2, "a note"),
        Seen(False, "tool", "1", "tool", "lm", "fp32", None),
    ]
    ours, theirs = page(rows).split("## Other tools' folders here")
    assert "| task | tool |" in ours and "| ner | fp32*, int8 (2e-03) |" in ours
    assert "| lm | fp32 |" in theirs and "- tool, ner: a note" in theirs


def test_answers_differ_by_their_largest_number_and_never_by_a_text() -> None:
    assert difference([["a", 0.5], {"b": [1, 2]}], [["a", 0.25], {"b": [1, 2.5]}]) == 0.5
    assert difference(["a", "b"], ["a", "b"]) is None
    for theirs in (["a", "c"], ["a"]):
        with pytest.raises(AssertionError):
            difference(["a", "b"], theirs)


def test_the_page_about_optimum_is_what_its_tables_say() -> None:
    expected = migration_optimum.page()
    assert OPTIMUM_PAGE.read_text(encoding="utf-8") == expected, "run python -m tests.fixtures.migration_optimum"


def test_what_the_page_about_optimum_tells_to_write_is_there() -> None:
    text = OPTIMUM_PAGE.read_text(encoding="utf-8")
    context = click.Context(program)
    used = [program.get_command(context, name) for name in ("export", "quantize")]
    known = {option for command in used if command for parameter in command.params for option in parameter.opts}
    registered = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]
    commands = {*program.list_commands(context), *registered["onnxpress.commands"]}
    ours = [line.rpartition(" | ")[2] for line in text.splitlines() if line.startswith("|")]
    options = {option for cell in ours for option in re.findall(r"--[a-z][a-z-]+", cell)}
    assert options <= known, options - known
    assert {name for cell in ours for name in re.findall(r"`onnxpress ([a-z]+)", cell)} <= commands
    assert {task for cell in ours for task in re.findall(r'pipeline\("([^"]+)"', cell)} <= set(TASKS)
