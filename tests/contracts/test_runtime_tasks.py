"""Every row of the runtime's table of tasks is whole, and no other file of the runtime is keyed by a task's name."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

import onnxpress.pipelines
from onnxpress.errors import InputError, UnknownTask
from onnxpress.pipelines import TASKS, find_task, task_class
from onnxpress.pipelines.base import Pipeline
from onnxpress.pipelines.task import Task

RUNTIME = Path(inspect.getfile(Pipeline)).parents[1]
ROWS = pytest.mark.parametrize("row", TASKS.values(), ids=lambda row: row.name)


@ROWS
def test_a_row_has_its_class_and_the_class_what_it_needs(row: Task) -> None:
    pipeline = row.load()
    assert task_class(row.name) is pipeline
    assert issubclass(pipeline, Pipeline)
    assert not inspect.isabstract(pipeline)
    assert pipeline.__doc__


@ROWS
def test_a_name_and_its_aliases_lead_to_the_row(row: Task) -> None:
    assert find_task(row.name) == (row, {})
    for alias in row.aliases:
        assert alias not in TASKS
        assert find_task(alias)[0] is row
    assert (row.alias_option is not None) == any("XX" in alias for alias in row.aliases)


def test_no_alias_is_used_twice() -> None:
    aliases = [alias for row in TASKS.values() for alias in row.aliases]
    assert len(aliases) == len(set(aliases))


def test_an_alias_may_carry_options() -> None:
    row, options = find_task("translation_en_to_de")
    assert (row.name, options) == ("translation", {"task_languages": ("en", "de")})


def test_an_unknown_task_lists_the_names() -> None:
    with pytest.raises(UnknownTask, match=r"'dreaming'.*fill-mask.*ner.*translation_XX_to_YY"):
        find_task("dreaming")


@ROWS
def test_serving_is_symmetric(row: Task) -> None:
    """Of an artifact for feature-extraction it is not known how to make one vector of a text."""
    assert row.name not in row.serves
    for other in row.serves:
        assert row.name in TASKS[other].serves or other == "feature-extraction"


@ROWS
def test_a_payload_takes_what_it_says_and_names_what_is_missing(row: Task) -> None:
    payload = row.payload
    if payload.alone:
        assert row.call("a text", {}).inputs == ("a text",)
        assert row.call({"inputs": "a text", "parameters": {"x": 1}}, {}).options == {"x": 1}
    if payload.fields:
        whole = dict.fromkeys(payload.fields, "a text")
        assert row.call(whole, {}).inputs == (whole,)
        for name in payload.fields[1:]:
            with pytest.raises(InputError, match=f"{name!r} is missing"):
                row.call({field: "a text" for field in payload.fields if field != name}, {})
    assert payload.text is None or payload.text in payload.fields
    assert payload.text is not None or not payload.together
    with pytest.raises(InputError, match="inputs"):
        row.call({"inputs": None}, {})


@pytest.mark.parametrize("path", sorted(RUNTIME.rglob("*.py")), ids=lambda path: path.relative_to(RUNTIME).as_posix())
def test_no_other_file_is_keyed_by_the_name_of_a_task(path: Path) -> None:
    if path.name in ("table.py", "signatures.py"):  # the latter tells type checkers what the former says
        return
    if path.parent.name == "protocols":  # a client's protocol has a shape for each of the tasks that it knows
        return
    names = set(TASKS) | {alias for row in TASKS.values() for alias in row.aliases}
    strings = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
    # A result of translation is called translation_text; the word alone is no key.
    assert not strings & names


def test_every_task_of_pictures_may_be_allowed_to_fetch_them() -> None:
    """Wherever a limit of pixels is handed on, what may be fetched is, too."""
    for path in Path(onnxpress.pipelines.__file__).parent.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert text.count("options.max_pixels") == text.count("options.urls"), path.name
