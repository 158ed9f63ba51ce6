"""Pipelines: a task of the Hub as a callable over an artifact. `pipeline()` opens one; table.py has the tasks."""

from onnxpress.pipelines.opening import build_pipeline, export, load, pipeline
from onnxpress.pipelines.table import TASKS, find_task, task_class

__all__ = ["TASKS", "build_pipeline", "export", "find_task", "load", "pipeline", "task_class"]
