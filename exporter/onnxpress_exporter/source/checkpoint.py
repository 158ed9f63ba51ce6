"""A Hub id and revision, or a folder -> the PyTorch model, its config and its tokenizer.

Knows nothing of graphs, tensors' names or artifacts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.heads import BARE, GENERATION, USUAL_TASKS, auto_class, head_of, normalize_task
from onnxpress_exporter.source.adapters import WEIGHTS, Adapter, is_adapter, merged, open_adapter
from onnxpress_exporter.source.sentence_transformers import is_cross_encoder, sentence_modules, transformer_folder
from onnxpress_exporter.source.weights import check_weights, explain_missing_weights, read_json
from onnxpress_exporter.write.tokenizer_conversion import CONVERTERS

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

__all__ = [
    "Checkpoint",
    "infer_task",
    "load_model",
    "load_tokenizer",
    "normalize_task",
    "open_checkpoint",
]

# What a text checkpoint may need from the Hub, weights aside. `*` crosses folders there.
_FILES = ("*.json", "*.txt", "*.model", "*.spm", "*.bpe", "*.codes", "*.tiktoken", "*.jinja", WEIGHTS)
_CODE = ("*.py",)
_SAFETENSORS = ("*.safetensors",)
_PICKLED = ("*.bin", "*.index.json")
_IGNORED = (
    *("onnx/*", "openvino/*", "coreml/*", "runs/*", "checkpoint-*/*", ".*"),
    *("training_args.bin", "optimizer*", "*.onnx.json", "*adapter_model.bin"),
)

# A pooler feeds neither last_hidden_state nor sentence embeddings: its absence changes nothing.
_UNUSED_WITHOUT_HEAD = re.compile(r"(^|\.)pooler\.")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A PyTorch model on disk, perhaps from the Hub at a commit. Nothing is loaded yet."""

    source: str  # as the user gave it
    folder: Path  # local files
    revision: str | None  # as asked (Hub only)
    commit: str | None  # as resolved (Hub only)
    config: Mapping[str, Any] = field(repr=False)  # raw config.json of the transformer
    model_folder: Path = field(repr=False)  # where the transformer's own files are
    safetensors: bool = True
    trust_remote_code: bool = False
    adapter: Adapter | None = None  # merged into the model when it is loaded

    @property
    def tokenizer_folder(self) -> Path:
        """Where the tokenizer's files are: an adapter may bring its own, with its chat template."""
        adapter = self.adapter
        own = adapter is not None and (adapter.folder / "tokenizer_config.json").is_file()
        return adapter.folder if adapter is not None and own else self.model_folder

    @property
    def model_type(self) -> str:
        return str(self.config["model_type"])


def open_checkpoint(
    source: str | Path,
    *,
    revision: str | None = None,
    allow_pickled_weights: bool = False,
    trust_remote_code: bool = False,
    adapter: str | Path | None = None,
) -> Checkpoint:
    """Find the files of `source`, a folder or a Hub id, and check that they can be loaded safely.

    An existing folder wins over a Hub id. `adapter` is a PEFT adapter for it; a `source` that is one itself stands for
    the model that it names. Raises UnsupportedCheckpoint for anything that is not a whole PyTorch checkpoint, and
    HubError if the Hub refuses.
    """
    opened = None if adapter is None else open_adapter(adapter)
    folder, commit = Path(source).expanduser(), None
    if folder.is_file():
        raise UnsupportedCheckpoint(f"{folder} is a file; name the folder that holds the model.")
    if not folder.is_dir():
        folder, commit = _fetch(str(source), revision, allow_pickled_weights, trust_remote_code)
    elif revision is not None:
        raise UnsupportedCheckpoint(
            f"{folder} is a local folder, which has no revisions: leave out revision={revision!r}."
        )
    if opened is None and is_adapter(folder):
        return _base_of(open_adapter(folder), str(source), allow_pickled_weights, trust_remote_code)
    model_folder = transformer_folder(folder)
    if not (model_folder / "config.json").is_file():
        raise _without_config(model_folder)
    config = read_json(model_folder / "config.json")
    _check_config(config, model_folder, trust_remote_code)
    return Checkpoint(
        source=str(source),
        folder=folder,
        revision=revision if commit is not None else None,
        commit=commit,
        config=config,
        model_folder=model_folder,
        safetensors=check_weights(model_folder, allow_pickled=allow_pickled_weights),
        trust_remote_code=trust_remote_code,
        adapter=opened,
    )


def _base_of(adapter: Adapter, source: str, allow_pickled_weights: bool, trust_remote_code: bool) -> Checkpoint:
    """The checkpoint that an adapter was trained on, with the adapter."""
    if adapter.base is None:
        raise explain_missing_weights(adapter.folder)
    beside = adapter.folder / adapter.base
    try:
        found = open_checkpoint(
            beside if beside.is_dir() else adapter.base,
            allow_pickled_weights=allow_pickled_weights,
            trust_remote_code=trust_remote_code,
        )
    except UnsupportedCheckpoint as error:
        raise UnsupportedCheckpoint(
            f"{source} is a PEFT adapter of {adapter.base}, which cannot be opened: {error} Export that model, with "
            f"--adapter {source}."
        ) from error
    return replace(found, adapter=replace(adapter, source=source))


def _fetch(repo_id: str, revision: str | None, allow_pickled: bool, trust_remote_code: bool) -> tuple[Path, str]:
    """Download what is needed of a repository; its folder and commit."""
    from onnxpress import hub

    if not hub.looks_like_repo_id(repo_id):
        raise UnsupportedCheckpoint(f"There is no folder {repo_id!r}, and it is not a Hub id (`owner/name`) either.")
    names = hub.list_files(repo_id, revision)
    safe = any(name.endswith(".safetensors") for name in names)
    if not safe and not allow_pickled and any(name.endswith(".bin") for name in names):
        raise UnsupportedCheckpoint(
            f"{repo_id} has only pickled weights, a format that can run code when it is opened. "
            "If you trust its author, allow pickled weights."
        )
    weights = _SAFETENSORS if safe else _PICKLED if allow_pickled else ()
    code = _CODE if trust_remote_code else ()
    snapshot = hub.fetch(repo_id, revision, (*_FILES, *weights, *code), ignore=_IGNORED)
    return snapshot.folder, snapshot.commit


def _without_config(folder: Path) -> UnsupportedCheckpoint:
    error = explain_missing_weights(folder)
    if "holds no weights" in str(error):
        return UnsupportedCheckpoint(f"{folder} is not a model's folder: it has no config.json.")
    return error


def _check_config(config: Mapping[str, Any], folder: Path, trust_remote_code: bool) -> None:
    """Refuse a config that transformers could not load, or only by running its author's code."""
    from transformers import CONFIG_MAPPING

    model_type = config.get("model_type")
    if not isinstance(model_type, str) or not model_type:
        raise UnsupportedCheckpoint(
            f"{folder / 'config.json'} has no model_type, so transformers cannot tell what it is."
        )
    if "quantization_config" in config:
        raise UnsupportedCheckpoint(
            f"{folder} holds weights quantized by {config['quantization_config'].get('quant_method')}; "
            "export the original checkpoint and let onnxpress quantize it."
        )
    if model_type in CONFIG_MAPPING or trust_remote_code:
        return
    if "auto_map" in config:
        raise UnsupportedCheckpoint(
            f"{folder} needs its own Python code (model_type {model_type!r}), which runs on your "
            "machine. If you read and trust it, pass trust_remote_code."
        )
    import transformers

    raise UnsupportedCheckpoint(
        f"transformers {transformers.__version__} does not know model_type {model_type!r} of {folder}. "
        "A newer version may."
    )


def _architecture(checkpoint: Checkpoint) -> str | None:
    architectures = checkpoint.config.get("architectures") or [None]
    return None if architectures[0] is None else str(architectures[0])


def infer_task(checkpoint: Checkpoint) -> str:
    """The Hub's name of the task that the checkpoint was made for.

    Raises UnsupportedCheckpoint, naming the task, if this version cannot export it.
    """
    if is_cross_encoder(checkpoint.folder, checkpoint.config):
        return "text-ranking"
    if sentence_modules(checkpoint.folder):
        return "sentence-similarity"
    architecture = _architecture(checkpoint)
    task = head_of(architecture).tasks[0]
    if task in GENERATION:
        task = USUAL_TASKS.get(checkpoint.model_type, task)
    _check_task(checkpoint, task)
    return task


def _check_task(checkpoint: Checkpoint, task: str) -> None:
    """Refuse a task that the checkpoint has no head for."""
    if task in BARE.tasks and sentence_modules(checkpoint.folder):
        return
    architecture = _architecture(checkpoint)
    head = head_of(architecture)
    offers = (*head.tasks, *BARE.tasks) if head is not BARE else BARE.tasks
    if task not in offers:
        raise UnsupportedCheckpoint(
            f"{checkpoint.source} ({architecture or checkpoint.model_type}) has no head for {task}: its weights would "
            f"be random. It offers: {', '.join(offers)}."
        )
    decoder_too = bool(checkpoint.config.get("is_encoder_decoder"))
    if decoder_too and task != head.tasks[0] and head is not BARE and task not in head.tasks:
        raise UnsupportedCheckpoint(f"{checkpoint.source} is an encoder-decoder: {task} of it is not supported yet.")
    if decoder_too and head is BARE and auto_class(task, checkpoint.model_type) == "AutoModel":
        raise UnsupportedCheckpoint(
            f"{checkpoint.source} ({architecture}) is an encoder-decoder without the head that writes text; its parts "
            "alone are not exported."
        )


def load_model(checkpoint: Checkpoint, task: str) -> torch.nn.Module:
    """The model for `task` in float32, in eval mode, with every weight of its head.

    Raises UnsupportedCheckpoint if the checkpoint lacks the head, or any weight that the answers
    depend on, or if its weights do not fit its config.
    """
    import torch
    import transformers

    task = normalize_task(task)
    _check_task(checkpoint, task)
    loader = getattr(transformers, auto_class(task, checkpoint.model_type))
    try:
        model, info = loader.from_pretrained(
            checkpoint.model_folder,
            dtype=torch.float32,
            use_safetensors=checkpoint.safetensors,
            trust_remote_code=checkpoint.trust_remote_code,
            local_files_only=True,
            output_loading_info=True,
            # Told apart below, with a message of our own.
            ignore_mismatched_sizes=True,
        )
    except Exception as error:
        raise UnsupportedCheckpoint(
            f"transformers cannot load {checkpoint.model_folder} for {task}: {_first_line(error)}"
        ) from error
    _check_loaded(checkpoint, task, info)
    _check_modality(checkpoint, model)
    if checkpoint.adapter is not None:
        model = merged(model, checkpoint.adapter)
    if hasattr(model.config, "use_cache") and task not in GENERATION:
        model.config.use_cache = False
    model.requires_grad_(False)
    return model.eval()  # type: ignore[no-any-return]


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{lines[0] if lines else type(error).__name__} ({type(error).__name__})"


def _check_loaded(checkpoint: Checkpoint, task: str, info: Mapping[str, Any]) -> None:
    if mismatched := sorted(info.get("mismatched_keys") or []):
        name, stored, expected = (*mismatched[0], None, None)[:3]
        raise UnsupportedCheckpoint(
            f"{checkpoint.source}: {len(mismatched)} weights do not fit config.json, first {name}: "
            f"{_shape(stored)} in the file, {_shape(expected)} by the config."
        )
    if errors := info.get("error_msgs"):
        raise UnsupportedCheckpoint(f"{checkpoint.source}: {next(iter(errors))}")
    missing = sorted(info.get("missing_keys") or [])
    if task in BARE.tasks:
        missing = [key for key in missing if not _UNUSED_WITHOUT_HEAD.search(key)]
    if missing:
        shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise UnsupportedCheckpoint(
            f"{checkpoint.source} lacks {len(missing)} weights that {task} needs ({shown}); "
            "they would be random. Fine-tune it for the task first, or ask for another task."
        )


def _shape(size: Any) -> str:
    return "an unknown shape" if size is None else str(tuple(size))


def _check_modality(checkpoint: Checkpoint, model: Any) -> None:
    modalities = getattr(model, "input_modalities", "text")
    modalities = (modalities,) if isinstance(modalities, str) else tuple(modalities)
    if modalities != ("text",):
        raise UnsupportedCheckpoint(
            f"{checkpoint.source} ({type(model).__name__}) takes {' and '.join(modalities)}; "
            "this version exports text models only."
        )


def load_tokenizer(checkpoint: Checkpoint) -> PreTrainedTokenizerBase:
    """The checkpoint's tokenizer: one with a Rust backend, or one that `tokenizer_conversion` knows.

    Raises UnsupportedCheckpoint if there is none, or none that has an exact version.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            checkpoint.tokenizer_folder,
            trust_remote_code=checkpoint.trust_remote_code,
            local_files_only=True,
        )
    except Exception as error:
        raise UnsupportedCheckpoint(
            f"transformers cannot load the tokenizer of {checkpoint.tokenizer_folder}: {_first_line(error)}"
        ) from error
    # Without a vocabulary transformers makes up an almost empty one, and says nothing.
    named = {name for name in type(tokenizer).vocab_files_names.values() if name != "tokenizer_config.json"}
    names = {"tokenizer.json", *named} if named else {"tokenizer_config.json"}  # ByT5 has no vocabulary
    if not any((checkpoint.tokenizer_folder / name).is_file() for name in names):
        raise UnsupportedCheckpoint(
            f"{checkpoint.tokenizer_folder} has no tokenizer: expected tokenizer.json or another of "
            f"{', '.join(sorted(names))}. Save the tokenizer beside the model."
        )
    if not isinstance(tokenizer, PreTrainedTokenizerFast) and type(tokenizer).__name__ not in CONVERTERS:
        raise UnsupportedCheckpoint(
            f"{type(tokenizer).__name__} of {checkpoint.source} has no exact version in the Rust "
            "`tokenizers` library, which the runtime uses; this version cannot export it."
        )
    return tokenizer
