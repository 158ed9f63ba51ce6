"""onnxpress itself: one variant of an artifact, through `onnxpress.pipeline` as users call it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from onnxpress_bench.backends import BackendSpec, Batching


class Onnxpress:
    """Its batching is its own; rows are only limited where a scenario hands over that many at once."""

    batchings: Sequence[Batching] = (Batching(),)
    distributions: Sequence[str] = ("onnxpress[cpu]",)

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
        self._pipe = pipeline(
            spec.task, spec.folder, precision=precision, device=spec.device, threads=spec.threads, **spec.options
        )
        self._pipe.session.warm()

    def model_files(self) -> Sequence[Path]:
        variant = self._pipe.manifest.variants[self._pipe.precision]
        names = [name for files in variant.graphs.values() for name in (files.file, *files.external)]
        return [Path(self._spec.folder) / name for name in names]

    def one(self, item: Any) -> Any:
        return self._pipe(item)

    def many(self, items: Sequence[Any], batching: Batching) -> Sequence[Any]:
        answers: Sequence[Any] = self._pipe(list(items), batch_size=batching.rows)
        return answers

    def tokenize(self, items: Sequence[Any]) -> Any:
        requests = [self._pipe.prepare(item, self._pipe.options) for item in items]
        return [sample for request in requests for sample in request.samples]

    def compute(self, batch: Any) -> Any:
        from onnxpress.engine.providers import provider_of
        from onnxpress.pipelines.batching import Limits, run_samples

        pipe, budget = self._pipe, provider_of(self._spec.device).budget_tokens
        return run_samples(batch, lambda samples: pipe.compute(samples, pipe.options), Limits(budget))
