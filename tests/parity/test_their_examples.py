"""The examples in the docstrings of transformers' pipelines for text run unchanged, but for names of checkpoints."""

from __future__ import annotations

import doctest
import inspect
import warnings
from collections.abc import Callable
from typing import Any

import pytest

import onnxpress
from tests.conftest import MODELS
from tests.parity.test_every_argument import type_of

#: task -> the checkpoint that stands for the one of the example, and the task that it is exported for.
TASKS = {
    "text-classification": ("tiny-sentiment", "text-classification"),
    "token-classification": ("tiny-ner", "token-classification"),
    "fill-mask": ("tiny-mlm", "fill-mask"),
    "zero-shot-classification": ("tiny-nli", "text-classification"),
    "feature-extraction": ("tiny-embedder", "feature-extraction"),
    "text-generation": ("tiny-lm", "text-generation"),
}


@pytest.mark.parametrize("task", TASKS)
def test_the_examples_of_their_docstrings_run(task: str, exported: Callable[..., Any]) -> None:
    import transformers

    checkpoint, as_exported = TASKS[task]
    artifact = exported(MODELS / checkpoint, as_exported)

    def pipeline(asked: str | None = None, model: str | None = None, **options: Any) -> Any:
        """Theirs asks the Hub for the task of a checkpoint that is named alone."""
        assert model is not None and asked in (None, task)
        return onnxpress.pipeline(options.pop("task", task), artifact, threads=1, **options)

    documentation = inspect.getsource(type_of(transformers, task))  # a decorator may hide the docstring
    examples = doctest.DocTestParser().get_examples(documentation)
    assert len(examples) > 2
    names: dict[str, Any] = {"pipeline": pipeline}
    for example in examples:
        if "import" not in example.source:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                exec(compile(example.source, f"docstring of {task}", "single"), names)


def test_the_example_of_the_base_class(exported: Callable[..., Any]) -> None:
    pipe = onnxpress.pipeline(model=exported(MODELS / "tiny-sentiment"), threads=1)
    with pipe.device_placement():
        assert pipe("good")
