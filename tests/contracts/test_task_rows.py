"""Every row of the tasks' table has every field, in both packages, and nothing else is keyed by a task's name."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import onnxpress_exporter
from onnxpress.format.manifest import Manifest
from onnxpress.format.processors import Processors, SpecialToken
from onnxpress.pipelines import find_task, task_class
from onnxpress_exporter.judging.items import calibration_items, judged_items
from onnxpress_exporter.judging.texts import CALIBRATION, JUDGED
from onnxpress_exporter.tasks import ROWS, TASKS
from onnxpress_exporter.tasks.heads import HEADS, normalize_task, tasks_of
from onnxpress_exporter.tasks.row import ExportTask
from tests.fixtures.manifests import manifest

EXPORTER = Path(onnxpress_exporter.__file__).parent

each_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


def model() -> Any:
    """What every row's outputs can be asked of."""
    config = SimpleNamespace(num_labels=3, hidden_size=8, vocab_size=20, id2label={0: "a", 1: "b", 2: "c"})
    return SimpleNamespace(config=config, get_output_embeddings=lambda: None)


def with_mask() -> Manifest:
    plain = manifest()
    assert plain.tokenizer is not None
    special = {**plain.tokenizer.special_tokens, "mask": SpecialToken("<m>", 4)}
    return replace(plain, processors=Processors(text=replace(plain.tokenizer, special_tokens=special)))


def test_a_name_stands_for_one_row() -> None:
    assert len(TASKS) == len(ROWS)
    aliases = [alias for row in ROWS for alias in row.aliases]
    assert len(set(aliases)) == len(aliases) and not set(aliases) & set(TASKS)


@each_row
def test_the_runtime_has_the_task_too(row: ExportTask) -> None:
    assert find_task(row.name)[0].name == row.name


@each_row
def test_a_task_is_called_by_its_name_and_its_aliases(row: ExportTask) -> None:
    assert {normalize_task(name) for name in (row.name, *row.aliases)} == {row.name}


@each_row
def test_a_head_is_of_transformers(row: ExportTask) -> None:
    import transformers

    for name in (row.head.auto_class, *row.head.classes.values()):
        assert hasattr(transformers, name)
    assert row.head in HEADS and row in tasks_of(row.head)
    assert not row.model_types or len(tasks_of(row.head)) > 1, "the only task of a head needs no model types"


@each_row
def test_outputs_are_named_floats_for_each_row_of_a_batch(row: ExportTask) -> None:
    assert (row.towers is not None) <= (row.outputs is None), "a model with towers has their outputs"
    if row.outputs is None:
        assert row.writes is (row.towers is None and row.parts is None)
        return
    for tensor in row.outputs(model()):
        assert tensor.dtype == "float32" and tensor.axes[0] == "batch"


@each_row
def test_every_text_gives_an_item_to_watch_or_to_judge_by(row: ExportTask) -> None:
    assert not set(JUDGED) & set(CALIBRATION)
    judged = judged_items(row.items, with_mask(), row.sounds)
    watched = calibration_items(row.items, with_mask(), row.sounds)
    if row.parts is not None:  # a text that is spoken takes as long as a hundred that are read
        assert judged and watched and not set(judged) & set(watched)
        return
    assert len(judged) > len(JUDGED) and len(watched) > len(CALIBRATION)


@each_row
def test_options_are_those_of_the_pipeline(row: ExportTask) -> None:
    if row.options:
        assert set(row.options) <= set(task_class(row.name).options_type.__dataclass_fields__)


@each_row
def test_a_metric_has_roles_in_columns(row: ExportTask) -> None:
    if row.metric is None:
        return
    assert row.metric.layouts
    for layout in row.metric.layouts:
        assert all(names and not isinstance(names, str) for names in layout.values())


def keyed(path: Path) -> list[str]:
    """The strings in a file that are a task's name; a name within a sentence is no key."""
    return [
        node.value
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in TASKS
    ]


def test_nothing_else_is_keyed_by_a_tasks_name() -> None:
    """The command line excepted, and what sentence-transformers' files call a module's work, which is theirs."""
    excepted = (
        EXPORTER / "tasks",
        EXPORTER / "cli",
        EXPORTER / "source" / "load_arguments.py",
        EXPORTER / "source" / "sentence_transformers.py",
    )
    files = [path for path in EXPORTER.rglob("*.py") if not any(path.is_relative_to(place) for place in excepted)]
    assert {path.relative_to(EXPORTER): names for path in files if (names := keyed(path))} == {}


@each_row
def test_a_task_is_named_in_one_file(row: ExportTask) -> None:
    assert sum(keyed(path).count(row.name) for path in (EXPORTER / "tasks").glob("*.py")) == 1
