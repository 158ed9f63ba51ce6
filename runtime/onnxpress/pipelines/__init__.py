"""Pipelines: a task of the Hub as a callable over an artifact. `pipeline()` opens one; table.py has the tasks."""

from typing import TYPE_CHECKING

from onnxpress.pipelines.opening import build_pipeline, export, load
from onnxpress.pipelines.table import TASKS, find_task, task_class

if TYPE_CHECKING:
    from onnxpress.pipelines.signatures import pipeline
else:
    from onnxpress.pipelines.opening import pipeline

__all__ = ["TASKS", "build_pipeline", "export", "find_task", "load", "pipeline", "task_class"]
