"""Which tasks a checkpoint's class can serve, and which task a name means.

Names and synonyms are the runtime's, the rows' and the Hub's, through optimum. Knows class names only: loads no file
and no weight.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from typing import Any

from onnxpress.errors import UnknownTask
from onnxpress.pipelines import TASKS as RUNTIME_TASKS
from onnxpress.pipelines import find_task
from onnxpress.suggestions import did_you_mean
from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.tasks import KINDS, ROWS, TASKS
from onnxpress_exporter.tasks.feature_extraction import BARE
from onnxpress_exporter.tasks.row import ExportTask, Head

HEADS: tuple[Head, ...] = tuple({row.head.auto_class: row.head for row in KINDS}.values())

_ALIASES: Mapping[str, str] = {alias: row.name for row in ROWS for alias in row.aliases}


def normalize_task(task: str) -> str:
    """The Hub's name of `task`, given that name, a pipeline alias or one of optimum's synonyms.

    Raises:
        UnknownTask: nothing has that name.
        UnsupportedCheckpoint: it is a task of the Hub that this version cannot export.
    """
    written = task.strip().lower()
    name = _runtime_name(written) or _ALIASES.get(written.replace("_", "-"), written.replace("_", "-"))
    if name in TASKS:
        return name
    name = str(_tasks_manager().map_from_synonym(name))
    if name in TASKS:
        return name
    known = ", ".join(TASKS)
    if name in _hub_tasks():
        raise UnsupportedCheckpoint(f"This version does not export {name} yet. Tasks it exports: {known}.")
    hint = did_you_mean(task, [*TASKS, *_ALIASES, *(alias for row in RUNTIME_TASKS.values() for alias in row.aliases)])
    raise UnknownTask(f"There is no task {task!r}.{hint} Tasks: {known}.")


def _runtime_name(written: str) -> str | None:
    """The runtime's name of a task, however the words of `name` are joined."""
    for joined in (written, written.replace("_", "-"), written.replace("-", "_")):
        with suppress(UnknownTask):
            return find_task(joined)[0].name
    return None


def tasks_of(head: Head) -> tuple[ExportTask, ...]:
    """The tasks that a head serves, the usual one first."""
    return tuple(row for row in KINDS if row.head is head)


def row_for(task: str, architecture: str | None) -> ExportTask:
    """The row of a task for models with the head of `architecture`; where the task has none, its first.

    Raises:
        UnsupportedCheckpoint: this version cannot export such a head.
    """
    row = TASKS[normalize_task(task)]
    if not row.kinds:
        return row
    head = head_of(architecture)
    return next((kind for kind in (row, *row.kinds) if kind.head is head), row)


def head_of(architecture: str | None) -> Head:
    """The head of `architecture`, a class name as in config.json; None means a body alone.

    Raises:
        UnsupportedCheckpoint: this version cannot export such a head; the message names its task.
    """
    if architecture is None:
        return BARE
    endings = [(suffix, head) for head in HEADS for suffix in head.suffixes if architecture.endswith(suffix)]
    if endings:
        _, head = max(endings, key=lambda ending: len(ending[0]))
        return _pretraining_head(architecture, head) if "ForPreTraining" in architecture else head
    if (loading := _head_of_class(architecture)) is not None:
        return loading
    task = _foreign_task(architecture)
    if architecture in BARE.classes.values() or (task is None and _is_body(architecture)):
        return BARE
    what = f"an architecture for {task}" if task else "an unknown kind of architecture"
    raise UnsupportedCheckpoint(
        f"{architecture} is {what}, which this version does not export yet. Tasks it exports: {', '.join(TASKS)}."
    )


def auto_class(task: ExportTask, model_type: str) -> str:
    """Name of the transformers class that loads `task` for `model_type`."""
    return task.head.classes.get(model_type, task.head.auto_class)


def _pretraining_head(architecture: str, masked: Head) -> Head:
    """BERT's pretraining head contains a masked-LM head; ELECTRA's or Funnel's tells real from fake."""
    discriminators = ("Electra", "Funnel")
    name = architecture.replace("ForPreTraining", "ForMaskedLM")
    return BARE if name.startswith(discriminators) or _head_of_class(name) is not masked else masked


@cache
def _head_of_class(class_name: str) -> Head | None:
    """The head whose auto class loads `class_name`, if it is more than a body."""
    import transformers.models.auto.modeling_auto as auto

    for head in HEADS:
        if head is not BARE and class_name in _class_names(getattr(auto, head.auto_class)):
            return head
    return None


@cache
def _foreign_task(class_name: str) -> str | None:
    """The Hub's task that transformers' auto classes give `class_name`, where it is none of ours."""
    manager = _tasks_manager()
    for task in sorted(manager.get_all_tasks()):
        try:
            loader = manager.get_model_class_for_task(task)
        except (KeyError, ValueError, AttributeError):
            continue
        # Optimum gives AutoModel to tasks without an auto class of their own; it has every body.
        if loader.__name__ != BARE.auto_class and class_name in _class_names(loader):
            return str(task)
    return None


def _is_body(class_name: str) -> bool:
    import transformers.models.auto.modeling_auto as auto

    return class_name.endswith("Model") or class_name in _class_names(auto.AutoModel)


def _class_names(loader: Any) -> set[str]:
    """The classes that an auto class can load; empty where the name is no auto class."""
    mapping = getattr(loader, "_model_mapping", None)
    names: set[str] = set()
    for value in () if mapping is None else mapping._model_mapping.values():
        names.update((value,) if isinstance(value, str) else value)
    return names


def _tasks_manager() -> Any:
    from optimum.exporters.tasks import TasksManager

    return TasksManager


@cache
def _hub_tasks() -> frozenset[str]:
    return frozenset(_tasks_manager().get_all_tasks())
