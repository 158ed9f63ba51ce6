"""onnxpress itself: one variant of an artifact, through `onnxpress.pipeline` as users call it; for models that write,
of an artifact or of a checkpoint that is exported once for all (onnxpress_artifact.py)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from onnxpress_bench.backends import BackendSpec, Batching
from onnxpress_bench.backends.base import Runner


class Onnxpress(Runner):
    """Its batching is its own; rows are only limited where a scenario hands over that many at once."""

    batchings = (Batching(),)
    distributions = ("onnxpress[cpu]",)
    libraries = ("onnxruntime", "onnxpress")  # the session imports the first lazily; it belongs to the import
    _pipe: Any = None

    @staticmethod
    def check(spec: BackendSpec) -> None:
        """It knows whatever it exports."""

    def load(self) -> None:
        """The pipeline."""
        self._pipe = open_pipeline(self.spec)
        self._pipe.session.warm()

    def one(self, item: Any) -> Any:
        """A single call."""
        return self._pipe(item)

    def many(self, items: Sequence[Any], batching: Batching) -> Sequence[Any]:
        """A list in one call."""
        answers: Sequence[Any] = self._pipe(list(items), batch_size=batching.rows)
        return answers

    def tokenize(self, items: Sequence[Any]) -> Any:
        """Rows of ids."""
        requests = [self._pipe.prepare(item, self._pipe.options) for item in items]
        return [sample for request in requests for sample in request.samples]

    def compute(self, batch: Any) -> Any:
        """The graph's part of the answers."""
        from onnxpress.engine.providers import provider_of
        from onnxpress.pipelines.batching import Limits, run_samples

        pipe, budget = self._pipe, provider_of(self.spec.device).budget_tokens
        return run_samples(batch, lambda samples: pipe.compute(samples, pipe.options), Limits(budget))


def open_pipeline(spec: BackendSpec) -> Any:
    """The task's pipeline of one variant."""
    from onnxpress import pipeline

    options = {"precision": spec.settings["precision"], "device": spec.device, "threads": spec.threads}
    return pipeline(spec.task, spec.folder, **options, **spec.options)
