"""Opens a checkpoint, by a Hub id and revision or a folder: its files, its config and its tokenizer.

Knows nothing of tasks, graphs, tensors' names or artifacts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxpress.format.front_matter import CARD
from onnxpress.layouts.picture_files.timm import is_of_timm
from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.source.adapters import WEIGHTS, Adapter, base_of, is_adapter, open_adapter
from onnxpress_exporter.source.beside_vectors import LAYERS
from onnxpress_exporter.source.load_arguments import LoadArguments
from onnxpress_exporter.source.modules import transformer_folder
from onnxpress_exporter.source.static_embeddings import is_static, load_plain_tokenizer, read_static_config
from onnxpress_exporter.source.timm_models import as_transformers_names, check_timm
from onnxpress_exporter.source.weights import check_weights, explain_missing_weights, read_json
from onnxpress_exporter.write.tokenizer_conversion import CONVERTERS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# What a text checkpoint may need from the Hub, weights aside. `*` crosses folders there.
_FILES = (
    *("*.json", "*.txt", "*.model", "*.spm", "*.bpe", "*.codes", "*.tiktoken", "*.jinja", WEIGHTS, CARD),
    *(f"{name}.*" for name in LAYERS),
)
_CODE = ("*.py",)
_SAFETENSORS = ("*.safetensors",)
_PICKLED = ("*.bin", "*.index.json")
_IGNORED = (
    *("onnx/*", "openvino/*", "coreml/*", "runs/*", "checkpoint-*/*", ".*"),
    *("training_args.bin", "optimizer*", "*.onnx.json", "*adapter_model.bin"),
)


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
    allow_pickled: bool = False  # whether files of tensors may be read that are pickles
    adapter: Adapter | None = None  # merged into the model when it is loaded

    @property
    def tokenizer_folder(self) -> Path:
        """Where the tokenizer's files are: an adapter may bring its own, with its chat template."""
        adapter = self.adapter
        has_tokenizer = adapter is not None and (adapter.folder / "tokenizer_config.json").is_file()
        return adapter.folder if adapter is not None and has_tokenizer else self.model_folder

    @property
    def model_type(self) -> str:
        """As transformers names it."""
        return str(self.config["model_type"])

    @property
    def architecture(self) -> str | None:
        """The class that the weights were saved by, as config.json names it."""
        architectures = self.config.get("architectures")
        first = architectures[0] if isinstance(architectures, list) and architectures else architectures
        return str(first) if first else None


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
    the model that it names, at the revision that it names.

    Raises:
        UnsupportedCheckpoint: it is no whole PyTorch checkpoint, nor an adapter of one.
        HubError: the Hub refuses.
    """
    opened = None if adapter is None else open_adapter(adapter)
    if opened is not None and revision is None and str(source) == opened.base:
        revision = opened.base_revision if not Path(source).expanduser().is_dir() else None
    location = _find(source, revision, allow_pickled_weights, trust_remote_code)
    if opened is None and is_adapter(location.folder):
        its_adapter = open_adapter(location.folder, fetched=location.commit is not None)
        return _with_its_base(replace(its_adapter, source=str(source)), allow_pickled_weights, trust_remote_code)
    return _checked(location, allow_pickled_weights, trust_remote_code, opened)


@dataclass(frozen=True, slots=True)
class _Location:
    """A folder with a checkpoint or an adapter, perhaps fetched from the Hub at a commit."""

    source: str
    folder: Path
    revision: str | None = None
    commit: str | None = None


def _find(source: str | Path, revision: str | None, allow_pickled: bool, trust_remote_code: bool) -> _Location:
    folder = Path(source).expanduser()
    if folder.is_file():
        raise UnsupportedCheckpoint(f"{folder} is a file; name the folder that holds the model.")
    if not folder.is_dir():
        folder, commit = _fetch(str(source), revision, allow_pickled, trust_remote_code)
        return _Location(str(source), folder, revision, commit)
    if revision is not None:
        raise UnsupportedCheckpoint(
            f"{folder} is a local folder, which has no revisions: leave out revision={revision!r}."
        )
    return _Location(str(source), folder)


def _checked(location: _Location, allow_pickled: bool, trust_remote_code: bool, adapter: Adapter | None) -> Checkpoint:
    """Check that the files in a folder can be loaded, and describe them as a checkpoint."""
    model_folder = transformer_folder(location.folder)
    static = is_static(location.folder)
    if not static and not (model_folder / "config.json").is_file():
        raise _without_config(model_folder)
    config = read_static_config(model_folder) if static else read_json(model_folder / "config.json")
    if not static:
        config = as_transformers_names(config)
        _check_config(config, model_folder, trust_remote_code)
    return Checkpoint(
        source=location.source,
        folder=location.folder,
        revision=location.revision,
        commit=location.commit,
        config=config,
        model_folder=model_folder,
        safetensors=check_weights(model_folder, allow_pickled=allow_pickled),
        trust_remote_code=trust_remote_code,
        allow_pickled=allow_pickled,
        adapter=adapter,
    )


def _with_its_base(adapter: Adapter, allow_pickled: bool, trust_remote_code: bool) -> Checkpoint:
    """Open the checkpoint that an adapter was trained on, with the adapter."""
    base = base_of(adapter)
    try:
        revision = None if Path(base).expanduser().is_dir() else adapter.base_revision
        location = _find(base, revision, allow_pickled, trust_remote_code)
        if is_adapter(location.folder):
            raise UnsupportedCheckpoint("it is an adapter itself; merge that one into its model first.")
        return _checked(location, allow_pickled, trust_remote_code, adapter)
    except UnsupportedCheckpoint as error:
        raise UnsupportedCheckpoint(
            f"{adapter.source} is a PEFT adapter of {adapter.base}, which cannot be opened: {error} Export that model, "
            f"with --adapter {adapter.source}."
        ) from error


def _fetch(repo_id: str, revision: str | None, allow_pickled: bool, trust_remote_code: bool) -> tuple[Path, str]:
    """Download the files of a repository that are needed; returns their folder and commit."""
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
    if is_of_timm(config):
        check_timm(folder, config)
    if not isinstance(model_type, str) or not model_type:
        raise UnsupportedCheckpoint(
            f"{folder / 'config.json'} has no model_type, so transformers cannot tell what it is."
        )
    if "quantization_config" in config:
        quantization = config["quantization_config"]
        method = quantization.get("quant_method") if isinstance(quantization, Mapping) else quantization
        raise UnsupportedCheckpoint(
            f"{folder} holds weights quantized by {method}; "
            "export the original checkpoint and let onnxpress quantize it."
        )
    if model_type in CONFIG_MAPPING or trust_remote_code:
        return
    if "auto_map" in config:
        raise UnsupportedCheckpoint(
            f"{folder} needs its own Python code (model_type {model_type!r}), which runs on your "
            "machine. If you read and trust it, pass trust_remote_code=True."
        )
    import transformers

    raise UnsupportedCheckpoint(
        f"transformers {transformers.__version__} does not know model_type {model_type!r} of {folder}. "
        "A newer version may."
    )


def load_config(checkpoint: Checkpoint, arguments: LoadArguments) -> Any:
    """The transformer's config, with the settings that take the place of those in the file.

    Raises:
        UnsupportedCheckpoint: transformers cannot load it, or its class has no such setting.
    """
    from transformers import AutoConfig

    try:
        config, unknown = AutoConfig.from_pretrained(
            checkpoint.model_folder,
            trust_remote_code=checkpoint.trust_remote_code,
            local_files_only=True,
            return_unused_kwargs=True,
            **arguments.config,
        )
    except Exception as error:
        raise UnsupportedCheckpoint(
            f"transformers cannot load the config of {checkpoint.model_folder}: {first_line(error)}"
        ) from error
    if named := sorted(name for name in unknown if name in arguments.config):
        raise UnsupportedCheckpoint(
            f"{checkpoint.source}: its Transformer sets {named[0]}, which {type(config).__name__} does not have."
        )
    return config


def _read_text(tokenizer: Any, checkpoint: Checkpoint) -> None:
    """Raise UnsupportedCheckpoint if the tokenizer wants more than a text, as LayoutLMv3's wants places on a page."""
    try:
        tokenizer("a")
    except Exception as error:
        raise UnsupportedCheckpoint(
            f"{type(tokenizer).__name__} of {checkpoint.source} does not read a text by itself, and nothing else can "
            f"be exported: {first_line(error)}"
        ) from error


def load_tokenizer(
    checkpoint: Checkpoint, arguments: LoadArguments | None = None, *, texts: bool = True
) -> PreTrainedTokenizerBase:
    """Load the checkpoint's tokenizer: one with a Rust backend, or one that `tokenizer_conversion` knows.

    `texts`: it has to read a text by itself; one of documents may want boxes.

    Raises:
        UnsupportedCheckpoint: there is none, or none that has an exact version.
    """
    arguments = arguments or LoadArguments()
    if arguments.plain:
        plain: PreTrainedTokenizerBase = load_plain_tokenizer(checkpoint.tokenizer_folder, arguments.tokenizer)
        return plain
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            checkpoint.tokenizer_folder,
            trust_remote_code=checkpoint.trust_remote_code,
            local_files_only=True,
            **arguments.tokenizer,
        )
    except Exception as error:
        raise UnsupportedCheckpoint(
            f"transformers cannot load the tokenizer of {checkpoint.tokenizer_folder}: {first_line(error)}"
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
    if texts:
        _read_text(tokenizer, checkpoint)
    if arguments.bounded and "model_max_length" not in arguments.tokenizer:
        positions = getattr(load_config(checkpoint, arguments), "max_position_embeddings", -1)
        if positions != -1:  # XLNet's way to say that there is no limit
            tokenizer.model_max_length = min(tokenizer.model_max_length, positions)
    if arguments.lower_case:
        put_in_lower_case(tokenizer)
    return tokenizer


def put_in_lower_case(tokenizer: Any) -> None:
    """Let the tokenizer itself put text in lower case, before its other normalization: special tokens stay as they are.

    Raises:
        UnsupportedCheckpoint: it has no Rust backend.
    """
    from tokenizers.normalizers import Lowercase, Sequence

    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise UnsupportedCheckpoint(f"do_lower_case is not supported for {type(tokenizer).__name__}.")
    present: Any = backend.normalizer
    steps: list[Any] = [] if present is None else [present]
    if isinstance(present, Sequence):
        steps = [present[index] for index in range(len(present))]
    if not any(isinstance(step, Lowercase) for step in steps):
        backend.normalizer = Sequence([Lowercase(), *steps])


def first_line(error: Exception) -> str:
    """The first line of an error's text, and its class."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{lines[0] if lines else type(error).__name__} ({type(error).__name__})"
