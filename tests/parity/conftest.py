"""What the parity tests hold answers against: transformers' pipelines, opened once per worker."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Tiny models gain nothing from threads, and workers would fight for the cores."""
    import torch

    torch.set_num_threads(1)


class Reference:
    """A transformers pipeline whose warnings, which are errors in these tests, stay unseen."""

    def __init__(self, task: str, checkpoint: Path) -> None:
        import transformers

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.pipe = transformers.pipeline(task, model=str(checkpoint), device="cpu")

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self.pipe(*inputs, **options)


@pytest.fixture(scope="session")
def reference() -> Callable[..., Any]:
    """`reference(checkpoint, task)` -> the transformers pipeline of the checkpoint."""

    @cache
    def make(checkpoint: Path, task: str) -> Reference:
        return Reference(task, checkpoint)

    return make
