"""onnxpress itself: one variant of an artifact, through `onnxpress.pipeline` as users call it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from onnxpress_bench.backends import Batching
from onnxpress_bench.backends.base import Runner
from onnxpress_bench.backends.onnxpress_artifact import open_pipeline, variant_paths


class Onnxpress(Runner):
    """Its batching is its own; rows are only limited where a scenario hands over that many at once."""

    batchings = (Batching(),)
    distributions = ("onnxpress[cpu]",)
    libraries = ("onnxruntime", "onnxpress")  # the session imports the first lazily; it belongs to the import
    _pipe: Any = None

    def load(self) -> None:
        """The pipeline."""
        self._pipe = open_pipeline(self.spec, self.spec.folder)
        self._pipe.session.warm()

    def model_files(self) -> Sequence[Path]:
        """The variant's graphs."""
        return variant_paths(self.spec.folder, self.spec.settings["precision"])

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
