"""Pipelines: a task of the Hub as a callable over an artifact. `pipeline()` opens one; table.py has the tasks."""

from onnxpress.pipelines.opening import build_pipeline, pipeline
from onnxpress.pipelines.table import TASKS, find_task, task_class

__all__ = ["TASKS", "build_pipeline", "find_task", "pipeline", "task_class"]
