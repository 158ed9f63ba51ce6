"""What backends share: how a checkpoint is converted and where that is kept, and how a batch is answered by the verb of
the task's workload.

Knows no library.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from onnxpress_bench.backends import BackendSpec, Batching, NotMeasured, in_batches
from onnxpress_bench.workloads import workload_of

#: For throughput the pilot takes the fastest of these, where a backend leaves batching to its caller.
BATCHINGS = (Batching(1), Batching(8), Batching(8, sort=True), Batching(32, sort=True))

#: Settings that a conversion may depend on, besides the weights.
_SHAPING = (
    *("input_names", "max_length", "embedding", "model_type", "pad_token_id", "padding_side"),
    *("quantization", "precision", "graph_sha256"),
)


class Runner:
    """A backend but for its model. `libraries`: modules that `load_libraries` imports, in this order. `converters`:
    distributions whose versions a conversion depends on; without any nothing is converted. `files`: patterns of the
    model's files among what was converted."""

    batchings: Sequence[Batching] = (Batching(1),)
    distributions: Sequence[str] = ()
    libraries: Sequence[str] = ()
    converters: Sequence[str] = ()
    files: Sequence[str] = ("*",)
    pads = True
    tokenizer: Any = None

    def __init__(self, spec: BackendSpec) -> None:
        self.spec = spec

    @classmethod
    def prepare(cls, spec: BackendSpec) -> BackendSpec:
        """The spec with `settings["converted"]`: the folder that `convert` filled for the same task, settings and
        versions, now or in an earlier run. It gets its name when it is complete, so that what is there can be used."""
        cls.check(spec)
        if not cls.converters:
            return spec
        from onnxpress.format.files import staged_folder

        known = [[spec.settings.get(name) for name in _SHAPING], [version(name) for name in cls.converters]]
        digest = hashlib.sha256(json.dumps(known).encode()).hexdigest()[:12]
        name = f"{cls.converters[0]}-{version(cls.converters[0])}-{spec.task}-{digest}"
        folder = Path(spec.workspace) / name
        if not folder.is_dir():
            with staged_folder(folder) as staging:
                cls.convert(spec, staging)
        return replace(spec, settings={**spec.settings, "converted": str(folder)})

    @staticmethod
    def check(spec: BackendSpec) -> None:
        """Raises NotMeasured where a sentence embedding is made in a way that is not followed here."""
        if spec.task != "sentence-similarity":
            return
        settings = spec.settings["embedding"]
        if spec.settings["has_head"] or settings["pooling"] not in (["mean"], ["cls"]):
            raise NotMeasured("embeddings are pooled by mean or cls here, without layers after that")
        if settings["prompts"].get(settings["default_prompt_name"]) or settings["do_lower_case"]:
            raise NotMeasured("texts are embedded as they are here, without a prompt and without lower-casing them")

    @staticmethod
    def convert(spec: BackendSpec, target: Path) -> None:
        """Fill the folder `target` with what is loaded later."""

    def load_libraries(self) -> None:
        """Import what is needed."""
        for name in self.libraries:
            import_module(name)

    @property
    def folder(self) -> Path:
        """Where `prepare` converted to; the spec's own where it did not."""
        return Path(self.spec.settings.get("converted", self.spec.folder))

    def model_files(self) -> Sequence[Path]:
        """The files of the model: of what was converted, or as the settings name them."""
        if "converted" not in self.spec.settings:
            return [Path(name) for name in self.spec.settings["model_files"]]
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


def own_files(spec: BackendSpec, folder: Path, files: Sequence[Path]) -> BackendSpec:
    """The spec of a model that lies in `folder` and consists of `files`."""
    return replace(spec, folder=str(folder), settings={**spec.settings, "model_files": [str(file) for file in files]})
