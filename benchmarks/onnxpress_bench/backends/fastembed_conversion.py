"""A checkpoint for fastembed: the files that it reads, and how a model that is not in its list is registered."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from onnxpress_bench.backends import BackendSpec
from onnxpress_bench.backends.optimum_conversion import export_onnx

NAME, GRAPH = "onnxpress-bench/checkpoint", "model.onnx"


def register(spec: BackendSpec) -> Any:
    """The model, as fastembed loads it."""
    from fastembed import TextEmbedding
    from fastembed.common.model_description import ModelSource, PoolingType

    settings = spec.settings["embedding"]
    TextEmbedding.add_custom_model(
        NAME,
        pooling={"mean": PoolingType.MEAN, "cls": PoolingType.CLS}[settings["pooling"][0]],
        normalization=settings["normalize"],
        sources=ModelSource(hf=NAME),  # has to be named; specific_model_path takes its place
        dim=settings["dimensions"],
        model_file=GRAPH,
    )
    providers, folder = ["CPUExecutionProvider"], spec.settings["converted"]
    return TextEmbedding(NAME, threads=spec.threads, providers=providers, specific_model_path=folder)


def convert(spec: BackendSpec, target: Path) -> None:
    """The graph, and the tokenizer's files as fastembed reads them: the limit and the padding are in two of them."""
    from tokenizers import Tokenizer

    settings = spec.settings
    exported = target / "exported"
    export_onnx(spec, exported)
    for path in exported.glob(f"{GRAPH}*"):
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
