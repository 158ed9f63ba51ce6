"""fastembed: its own tokenization, batching, pooling and normalization around ONNX Runtime.

The model is registered as its documentation shows for one that is not in its list, from an ONNX file that optimum
exported and fused, as those in its list were.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from onnxpress_bench.backends import BackendSpec, Batching, in_batches
from onnxpress_bench.backends.conversion import check_servable, conversion
from onnxpress_bench.backends.optimum import export_onnx

_NAME = "onnxpress-bench/checkpoint"
_GRAPH = "model.onnx"

#: Rows of a batch where the caller names none: fastembed's own default.
_OWN_ROWS = 256


class FastEmbed:
    """`settings["converted"]`: the folder of the export, which `prepare` sets."""

    #: For throughput the pilot takes the fastest of these; texts are only sorted if the caller does it.
    batchings: Sequence[Batching] = (Batching(), Batching(8), Batching(8, sort=True), Batching(32, sort=True))
    distributions: Sequence[str] = ("fastembed",)

    def __init__(self, spec: BackendSpec) -> None:
        self._spec = spec
        self._model: Any = None

    @staticmethod
    def prepare(spec: BackendSpec) -> BackendSpec:
        check_servable(spec)
        if spec.settings["embedding"]["truncate_dimensions"]:
            raise NotImplementedError("fastembed returns embeddings in their full length, and this model shortens them")
        libraries = ("fastembed", "optimum-onnx", "onnxruntime", "torch")
        folder = conversion(spec, libraries, lambda target: _convert(spec, target))
        return replace(spec, settings={**spec.settings, "converted": str(folder)})

    def load_libraries(self) -> None:
        import fastembed  # noqa: F401

    def load(self) -> None:
        from fastembed import TextEmbedding
        from fastembed.common.model_description import ModelSource, PoolingType

        settings = self._spec.settings["embedding"]
        TextEmbedding.add_custom_model(
            _NAME,
            pooling={"mean": PoolingType.MEAN, "cls": PoolingType.CLS}[settings["pooling"][0]],
            normalization=settings["normalize"],
            sources=ModelSource(hf=_NAME),  # has to be named; specific_model_path takes its place
            dim=settings["dimensions"],
            model_file=_GRAPH,
        )
        self._model = TextEmbedding(
            _NAME,
            threads=self._spec.threads,
            providers=["CPUExecutionProvider"],
            specific_model_path=self._spec.settings["converted"],
        )

    def model_files(self) -> Sequence[Path]:
        return sorted(Path(self._spec.settings["converted"]).glob(f"{_GRAPH}*"))

    def one(self, item: Any) -> Any:
        return next(iter(self._model.embed([item])))

    def many(self, items: Sequence[Any], batching: Batching) -> Sequence[Any]:
        if batching.rows is None:
            return list(self._model.embed(list(items), batch_size=_OWN_ROWS))
        answers: list[Any] = [None] * len(items)
        for indices in in_batches(items, batching):
            texts = [items[index] for index in indices]
            for index, answer in zip(indices, self._model.embed(texts, batch_size=batching.rows), strict=True):
                answers[index] = answer
        return answers


def _convert(spec: BackendSpec, target: Path) -> None:
    """The graph, and the tokenizer's files as fastembed reads them: the limit and the padding are in two of them."""
    from tokenizers import Tokenizer

    settings = spec.settings
    exported = target / "exported"
    export_onnx(spec, exported)
    for path in exported.glob(f"{_GRAPH}*"):
        path.rename(target / path.name)
    shutil.rmtree(exported)
    limits = [n for n in (settings["max_length"], settings["embedding"]["max_length"]) if n]
    tokenizer: Any = Tokenizer.from_file(settings["tokenizer_file"])
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.save(str(target / "tokenizer.json"))
    files = {
        "config.json": {"pad_token_id": settings["pad_token_id"]},
        "tokenizer_config.json": {
            "model_max_length": min(limits, default=1 << 30),
            "pad_token": tokenizer.id_to_token(settings["pad_token_id"]),
            "padding_side": settings["padding_side"],
        },
    }
    for name, content in files.items():
        (target / name).write_text(json.dumps(content), encoding="utf-8")
