"""The harness of the parity tests: each checkpoint is made and exported once per run, whoever asks for it.

Checkpoints and artifacts live in one folder that all workers of a parallel run share; a lock per artifact keeps two
workers from exporting the same one. Pipelines, ours and the reference, are opened once per worker.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

import onnxpress
from onnxpress import Artifact

MODELS = Path(__file__).parents[2] / "models"

Exported = Callable[..., Artifact]


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that lives as long as the run and is the same for all its workers."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "parity"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Tiny models gain nothing from threads, and workers would fight for the cores."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny(shared: Path) -> Callable[..., Path]:
    """`tiny(architecture, task, **config)` -> the folder of a checkpoint with random weights."""

    @cache
    def make(architecture: str, task: str, **config: Any) -> Path:
        from tests.fixtures.tiny import tiny_checkpoint

        folder = shared / "checkpoints" / _name(architecture, task, repr(sorted(config.items())))
        with _lock(folder):
            if not folder.exists():
                unfinished = folder.with_name(folder.name + ".unfinished")
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    tiny_checkpoint(architecture, task, unfinished, **config)
                unfinished.rename(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def trained() -> Callable[[str], Path]:
    """`trained("tiny-ner")` -> the folder of a checkpoint that a script in models/ trained."""

    def find(name: str) -> Path:
        folder = MODELS / name
        assert (folder / "model.safetensors").is_file(), f"{folder} is missing; models/train.py {name} makes it"
        return folder

    return find


@pytest.fixture(scope="session")
def exported(shared: Path) -> Exported:
    """`exported(checkpoint, task=None)` -> its artifact in fp32, made once per run."""

    @cache
    def make(checkpoint: Path, task: str | None = None) -> Artifact:
        from onnxpress_exporter import export

        folder = shared / "artifacts" / _name(checkpoint.name, task or "default", str(checkpoint))
        with _lock(folder):
            return Artifact.open(folder) if folder.exists() else export(checkpoint, folder, task)

    return make


@pytest.fixture(scope="session")
def ours(exported: Exported) -> Callable[..., Any]:
    """`ours(checkpoint, task, exported_as=None)` -> the onnxpress pipeline of the exported checkpoint."""

    @cache
    def make(checkpoint: Path, task: str, exported_as: str | None = None) -> Any:
        return onnxpress.pipeline(task, exported(checkpoint, exported_as or task), threads=1)

    return make


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


def _name(*parts: str) -> str:
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:8]
    return "-".join((*parts[:2], digest))


def _lock(folder: Path) -> FileLock:
    folder.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(folder.with_name(folder.name + ".lock"))
