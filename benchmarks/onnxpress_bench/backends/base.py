"""What backends share: a batch is answered by the verb of the task's workload, and files lie where they were converted.

Knows no library.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from onnxpress_bench.backends import BackendSpec, Batching, in_batches
from onnxpress_bench.workloads import workload_of

#: For throughput the pilot takes the fastest of these, where a backend leaves batching to its caller.
BATCHINGS = (Batching(1), Batching(8), Batching(8, sort=True), Batching(32, sort=True))


class Runner:
    """A backend but for its model. `libraries`: modules that `load_libraries` imports, in this order. `files`: patterns
    of the model's files in the folder that `prepare` converted into, `settings["converted"]`."""

    batchings: Sequence[Batching] = (Batching(1),)
    distributions: Sequence[str] = ()
    libraries: Sequence[str] = ()
    files: Sequence[str] = ("*",)
    pads = True
    tokenizer: Any = None

    def __init__(self, spec: BackendSpec) -> None:
        self.spec = spec

    @staticmethod
    def prepare(spec: BackendSpec) -> BackendSpec:
        """Nothing."""
        return spec

    def load_libraries(self) -> None:
        """Import what is needed."""
        for name in self.libraries:
            import_module(name)

    @property
    def folder(self) -> Path:
        """Where `prepare` converted to; the spec's own where it did not."""
        return Path(self.spec.settings.get("converted", self.spec.folder))

    def model_files(self) -> Sequence[Path]:
        """The files of the model."""
        return [path for pattern in self.files for path in sorted(self.folder.glob(pattern)) if path.is_file()]

    def answer(self, items: Sequence[Any]) -> Sequence[Any]:
        """The answers to one batch."""
        return workload_of(self.spec.task).answer(self, items)

    def one(self, item: Any) -> Any:
        """The answer to one item."""
        return self.answer([item])[0]

    def many(self, items: Sequence[Any], batching: Batching) -> Sequence[Any]:
        """The answers to many items, in their order."""
        answers: list[Any] = [None] * len(items)
        for indices in in_batches(items, batching):
            for index, answer in zip(indices, self.answer([items[index] for index in indices]), strict=True):
                answers[index] = answer
        return answers
