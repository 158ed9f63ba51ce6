"""What can be measured: the protocol, the table of backends, and onnxpress itself.

A new backend is one class and one row in BACKENDS. Nothing heavy is imported before `load_libraries`, because a
worker measures how long that takes. This module knows nothing of time or of other backends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class BackendSpec:
    """Everything a worker needs to build a backend, as plain JSON values.

    `folder`: the artifact, or the checkpoint as the user named it, until `prepare` has found its files.
    `options`: arguments of every call. `settings`: what only one kind of backend needs.
    """

    name: str
    kind: str
    task: str
    folder: str
    threads: int
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Batching:
    """How a stream is cut into batches. `rows` None: the backend decides."""

    rows: int | None = None
    sort: bool = False

    def __str__(self) -> str:
        if self.rows is None:
            return "its own batching"
        return f"batch {self.rows}" + (", sorted by length" if self.sort else "")


class Backend(Protocol):
    """One way to run the task's model, in this process. `batchings`: what it may choose from for throughput, the
    first being one item at a time, or its own."""

    batchings: Sequence[Batching]

    def __init__(self, spec: BackendSpec) -> None: ...

    @staticmethod
    def prepare(spec: BackendSpec) -> BackendSpec:
        """What has to be done once, unmeasured: downloads and checks. Returns the spec that is measured."""

    def load_libraries(self) -> None:
        """Import what is needed."""

    def load(self) -> None:
        """Load the model and the tokenizer."""

    def one(self, item: Any) -> Any:
        """The answer to one item."""

    def many(self, items: Sequence[Any], batching: Batching) -> Sequence[Any]:
        """The answers to many items, in their order."""


class Onnxpress:
    """One variant of an artifact, through `onnxpress.pipeline` as users call it."""

    batchings: Sequence[Batching] = (Batching(),)

    def __init__(self, spec: BackendSpec) -> None:
        self._spec = spec
        self._pipe: Any = None

    @staticmethod
    def prepare(spec: BackendSpec) -> BackendSpec:
        return spec

    def load_libraries(self) -> None:
        import onnxruntime  # noqa: F401 - the session imports it lazily; here it belongs to the import

        import onnxpress  # noqa: F401

    def load(self) -> None:
        from onnxpress import pipeline

        spec = self._spec
        precision = spec.settings["precision"]
        self._pipe = pipeline(spec.task, spec.folder, precision=precision, threads=spec.threads, **spec.options)
        self._pipe.session.warm()

    def one(self, item: Any) -> Any:
        return self._pipe(item)

    def many(self, items: Sequence[Any], batching: Batching) -> Sequence[Any]:
        answers: Sequence[Any] = self._pipe(list(items))
        return answers


#: kind -> module and class.
BACKENDS: Mapping[str, tuple[str, str]] = {
    "onnxpress": ("onnxpress_bench.backends", "Onnxpress"),
    "pytorch": ("onnxpress_bench.pytorch", "PyTorch"),
}


def backend_class(kind: str) -> type[Backend]:
    """The class of a kind of backend."""
    module, name = BACKENDS[kind]
    found: type[Backend] = getattr(import_module(module), name)
    return found


def plain(value: Any) -> Any:
    """An answer as JSON values: arrays and tensors become lists."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def weight(item: Any) -> int:
    """Characters of an item: what sorting by length sorts by."""
    if isinstance(item, str):
        return len(item)
    return sum(map(weight, item.values() if isinstance(item, Mapping) else item))
