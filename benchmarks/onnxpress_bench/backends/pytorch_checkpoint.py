"""A checkpoint for PyTorch: where it is, with its adapter merged; how its model is loaded; what it computes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxpress_bench.backends import BackendSpec
from onnxpress_bench.backends.base import own_files
from onnxpress_bench.workloads import GENERATION, PICTURES, REWRITING, SPEECH
from onnxpress_bench.workloads.pictures import load_processor

if TYPE_CHECKING:
    from onnxpress_exporter.source.checkpoint import Checkpoint

#: task -> the class of transformers that loads its model. Others go through transformers' pipelines.
AUTO_CLASSES: Mapping[str, str] = {
    **dict.fromkeys(("feature-extraction", "sentence-similarity"), "AutoModel"),
    **dict.fromkeys(("text-classification", "text-ranking"), "AutoModelForSequenceClassification"),
    "image-classification": "AutoModelForImageClassification",
    "question-answering": "AutoModelForQuestionAnswering",
    "multiple-choice": "AutoModelForMultipleChoice",
    GENERATION: "AutoModelForCausalLM",
    SPEECH: "AutoModelForCTC",  # unless its model writes
    **dict.fromkeys(REWRITING, "AutoModelForSeq2SeqLM"),
}


def prepare(spec: BackendSpec) -> BackendSpec:
    """The spec of the checkpoint's own folder, or of one that holds the model with its adapter merged.

    `settings` get `root`, the folder that was found; `weights_sha256` of the checkpoint's weights, as an artifact
    records them; `fingerprint`, which tells adapted models of one checkpoint apart; and `reading`, what its files ask
    to be loaded with for this task (`_reading`).
    """
    from onnxpress_exporter.source.checkpoint import open_checkpoint

    settings = spec.settings
    checkpoint = open_checkpoint(
        spec.folder,
        revision=settings["revision"],
        allow_pickled_weights=settings["allow_pickled_weights"],
        trust_remote_code=settings["trust_remote_code"],
        adapter=settings.get("adapter"),
    )
    weights = _weights_sha256(checkpoint.model_folder)
    folder, fingerprint = checkpoint.model_folder, weights
    if checkpoint.adapter is not None:
        fingerprint = _fingerprint(checkpoint, spec.task)
        folder = Path(spec.workspace) / f"{checkpoint.model_folder.name}-{fingerprint[:16]}"
        _write_merged(checkpoint, spec.task, folder)
    described: dict[str, Any] = {"root": str(checkpoint.folder), "weights_sha256": weights, "fingerprint": fingerprint}
    described |= {"reading": _reading(checkpoint, spec.task)}
    return own_files(replace(spec, settings={**settings, **described}), folder, weight_files(folder))


def _reading(checkpoint: Checkpoint, task: str) -> dict[str, Any]:
    """Arguments with which an export loads this checkpoint beyond what transformers reads by itself: of the "tokenizer"
    and the "config", and whether the tokenizer puts texts in "lower_case". Empty if there are none.

    As plain values: what is measured loads the model by transformers alone.
    """
    from onnxpress_exporter.source.checkpoint import load_tokenizer
    from onnxpress_exporter.source.load_arguments import LoadArguments
    from onnxpress_exporter.tasks import TASKS

    row = TASKS.get(task)
    arguments = LoadArguments() if row is None else row.load_arguments(checkpoint)
    if arguments == LoadArguments():
        return {}
    limit = load_tokenizer(checkpoint, arguments).model_max_length
    tokenizer = {**arguments.tokenizer, "model_max_length": limit}
    return {"tokenizer": tokenizer, "config": dict(arguments.config), "lower_case": arguments.lower_case}


def _fingerprint(checkpoint: Checkpoint, task: str) -> str:
    """Of the checkpoint's and the adapter's files and the task: SHA-256, in hexadecimal."""
    assert checkpoint.adapter is not None
    digest = hashlib.sha256(task.encode())
    adapter = checkpoint.adapter.folder
    for file in [*weight_files(checkpoint.model_folder), *sorted(adapter.glob("adapter_*"))]:
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()


def _write_merged(checkpoint: Checkpoint, task: str, folder: Path) -> None:
    """The adapted model as a checkpoint of its own, unless an earlier run wrote it."""
    if folder.is_dir():
        return
    from onnxpress.format.files import staged_folder
    from onnxpress_exporter.tasks.loading import load_model

    folder.parent.mkdir(parents=True, exist_ok=True)
    with staged_folder(folder) as staging:
        model: Any = load_model(checkpoint, task)
        model.save_pretrained(staging)
        for source in dict.fromkeys((checkpoint.tokenizer_folder, checkpoint.model_folder)):
            for file in source.iterdir():
                small = file.suffix in (".json", ".jinja", ".txt", ".model", ".spm", ".py")
                written = (staging / file.name).exists() or file.name.endswith(".index.json")
                if small and not written and not file.name.startswith("adapter_"):
                    (staging / file.name).write_bytes(file.read_bytes())


def load_model(spec: BackendSpec) -> Any:
    """The task's model as transformers loads it, on the spec's device, in float32 or in the setting "dtype"."""
    import torch
    import transformers

    torch.set_num_threads(spec.threads)
    name, architecture = AUTO_CLASSES[spec.task], spec.settings.get("architecture", "")
    if spec.task == SPEECH and spec.settings["model_type"] in _writers():
        name = "AutoModelForSpeechSeq2Seq"
    if spec.task == "sentence-similarity" and architecture.endswith("EncoderModel"):
        name = architecture
    options = {"dtype": getattr(torch, spec.settings.get("dtype", "float32"))}
    options |= {"trust_remote_code": spec.settings["trust_remote_code"], **load_config(spec)}
    return getattr(transformers, name).from_pretrained(spec.folder, **options).to(spec.device).eval()


def _writers() -> Container[str]:
    """Types of models that write what they hear, whatever they hear with."""
    from transformers.models.auto import modeling_auto

    return modeling_auto.MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES


def load_config(spec: BackendSpec) -> dict[str, Any]:
    """The argument `config` of transformers, where the checkpoint's files change a setting of config.json."""
    import transformers

    changed = spec.settings.get("reading", {}).get("config")
    if not changed:
        return {}
    trust = spec.settings["trust_remote_code"]
    return {"config": transformers.AutoConfig.from_pretrained(spec.folder, trust_remote_code=trust, **changed)}


def load_reader(spec: BackendSpec) -> Any:
    """The tokenizer, or the processor of speech or of pictures, that reads as the artifact's does."""
    import transformers

    if spec.task in PICTURES:
        return load_processor(spec)
    reader = transformers.AutoProcessor if spec.task == SPEECH else transformers.AutoTokenizer
    reading = spec.settings.get("reading", {})
    options = {"trust_remote_code": spec.settings["trust_remote_code"], **reading.get("tokenizer", {})}
    tokenizer = reader.from_pretrained(spec.folder, **options)
    if reading.get("lower_case"):
        from onnxpress_exporter.source.checkpoint import put_in_lower_case

        put_in_lower_case(tokenizer)
    return tokenizer


def load(spec: BackendSpec) -> tuple[Any, Any]:
    """Tokenizer, or processor of speech, and model."""
    return load_reader(spec), load_model(spec)


def without_gradients(call: Callable[..., Any]) -> Callable[..., Any]:
    """The call in PyTorch's mode for inference."""
    import torch

    ungraded: Callable[..., Any] = torch.inference_mode()(call)
    return ungraded


def weight_files(folder: Path) -> list[Path]:
    """The files of a checkpoint's weights."""
    return sorted(folder.glob("model*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))


def _weights_sha256(folder: Path) -> str | None:
    """Of the weights, if they are one file: what an artifact records of them. None otherwise."""
    weights = weight_files(folder)
    if len(weights) != 1:
        return None
    with weights[0].open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def count_operations(model: Any, call: Callable[[], Any]) -> float:
    """Floating point operations of a call, two for each multiply-add, in matrix products alone.

    The projections are counted from the weights and what enters them, by PyTorch's own counter; attention's two
    products, which its fused CPU kernel hides from the counter, are counted by a run with the eager kernel.
    """
    from torch.utils.flop_counter import FlopCounterMode

    model.set_attn_implementation("eager")
    with FlopCounterMode(display=False) as counter:
        call()
    return float(counter.get_total_flops())


def product_bytes(model: Any) -> float:
    """Bytes of the weights that matrix products read, in float32: those of linear layers."""
    import torch

    layers = (layer for layer in model.modules() if isinstance(layer, torch.nn.Linear))
    return float(sum(4 * layer.weight.numel() for layer in layers))
