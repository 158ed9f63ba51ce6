"""How transformers is to load a checkpoint, beyond what the checkpoint's own files of transformers say.

sentence-transformers keeps such arguments in a file of its Transformer module, under names that changed twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.source.fields import check_fields, object_in, whole_number
from onnxpress_exporter.source.weights import read_json

#: The Transformer module's file has borne the name of its first architecture.
FILE_NAMES = (
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
)

#: Where files come from and what may run: the caller says that, not the file. sentence-transformers overrides them.
_OF_THE_CALLER = frozenset(
    {"cache_dir", "code_revision", "local_files_only", "revision", "subfolder", "token", "trust_remote_code"}
)

#: How weights are stored and computed with, and a pooler that no answer reads: the graph is made in float32.
_OF_THE_COMPUTATION = frozenset(
    {
        *("add_pooling_layer", "attn_implementation", "device_map", "dtype", "export", "file_name"),
        *("low_cpu_mem_usage", "provider", "torch_dtype", "use_safetensors"),
    }
)

#: Present name -> the name of older versions.
_ARGUMENTS = {"config_kwargs": "config_args", "model_kwargs": "model_args", "processor_kwargs": "tokenizer_args"}

#: Kinds of models with other ways to read a query; null in all others.
_MULTI_VECTOR = ("query_length", "document_length", "query_expansion")

_FIELDS = frozenset(
    {
        *_ARGUMENTS,
        *_ARGUMENTS.values(),
        *_MULTI_VECTOR,
        *("do_lower_case", "max_seq_length", "modality_config", "module_output_name", "processing_kwargs"),
        *("transformer_task", "unpad_inputs"),
    }
)

#: What a Transformer module does, as transformer_task names it.
GIVES_STATES, FILLS_MASKS = "feature-extraction", "fill-mask"

#: transformer_task -> what its modality "text" has to return, and under which name.
_OUTPUTS: Mapping[str, tuple[str, str]] = {
    GIVES_STATES: ("last_hidden_state", "token_embeddings"),
    "sequence-classification": ("logits", "scores"),
    FILLS_MASKS: ("logits", "token_embeddings"),
}

#: Arguments of the tokenizer's calls -> the values that change no answer.
_CALLS: Mapping[str, tuple[Any, ...]] = {
    "add_special_tokens": (True,),
    "padding": (True, "longest"),
    "truncation": (True, "longest_first"),
    "return_tensors": ("pt",),
    "return_attention_mask": (True, None),
}


@dataclass(frozen=True, slots=True)
class LoadArguments:
    """Arguments for transformers.

    Args:
        config: settings that take the place of those in config.json.
        tokenizer: of the tokenizer's `from_pretrained`.
        lower_case: the text is put in lower case by the tokenizer, special tokens aside.
        bounded: a text is cut at the config's `max_position_embeddings`, be it a limit of the model or not, unless
            the tokenizer is given a length.
        plain: the tokenizer is its tokenizer.json alone, and puts no tokens around a text.
    """

    config: Mapping[str, Any] = field(default_factory=dict)
    tokenizer: Mapping[str, Any] = field(default_factory=dict)
    lower_case: bool = False
    bounded: bool = False
    plain: bool = False


def transformer_settings(folder: Path) -> tuple[Path, dict[str, Any]]:
    """The Transformer module's file, or where it would be, and what it says."""
    path = next((folder / name for name in FILE_NAMES if (folder / name).is_file()), folder / FILE_NAMES[0])
    return path, read_json(path) if path.is_file() else {}


def read_load_arguments(
    folder: Path, task: str, *, usual: str = GIVES_STATES, multi_vector: bool = False
) -> LoadArguments:
    """What the Transformer module in `folder` passes on to transformers.

    Args:
        task: a transformer_task; `usual`: the one of a file that names none.
        multi_vector: whether lengths of queries and documents are read elsewhere, and not refused.

    Raises:
        UnsupportedCheckpoint: it says something that this version does not understand or cannot do; the message names
            the field.
    """
    path, settings = transformer_settings(folder)
    check_fields(settings, _FIELDS, path)
    for name in () if multi_vector else _MULTI_VECTOR:
        if settings.get(name) is not None:
            raise UnsupportedCheckpoint(
                f"{path}: {name} is of multi-vector models, and this is a model of another kind."
            )
    _check_task(settings, task, usual, path)
    arguments = {name: _arguments(settings, name, old, path) for name, old in _ARGUMENTS.items()}
    check_fields(arguments["model_kwargs"], _OF_THE_COMPUTATION, f"{path}: model_kwargs")
    tokenizer = arguments["processor_kwargs"]
    max_length = whole_number(settings, "max_seq_length", path)
    if max_length is not None:
        tokenizer.setdefault("model_max_length", max_length)
    called = _check_calls(object_in(settings, "processing_kwargs", path), path)
    if called is not None:
        tokenizer["model_max_length"] = called
    return LoadArguments(arguments["config_kwargs"], tokenizer, bool(settings.get("do_lower_case")), bounded=True)


def _arguments(settings: Mapping[str, Any], name: str, old: str, path: Path) -> dict[str, Any]:
    """An object of arguments under its present or its old name, of which sentence-transformers takes the old one."""
    arguments = object_in(settings, old if old in settings else name, path)
    return {key: value for key, value in arguments.items() if key not in _OF_THE_CALLER}


def _check_task(settings: Mapping[str, Any], task: str, usual: str, path: Path) -> None:
    does = settings.get("transformer_task", usual)
    if does != task:
        raise UnsupportedCheckpoint(f"{path}: its Transformer does {does}, not {task}.")
    if "modality_config" not in settings:
        return
    modalities = object_in(settings, "modality_config", path)
    if "text" not in modalities:
        raise UnsupportedCheckpoint(f"{path}: its Transformer takes {', '.join(sorted(modalities))}, not plain text.")
    if "message" in modalities:
        raise UnsupportedCheckpoint(
            f"{path}: its Transformer puts every text into a chat template (the modality 'message'), which is not "
            "supported."
        )
    output, name = _OUTPUTS[task]
    text = object_in(modalities, "text", path)
    returned = text.get("method_output_name")
    if text.get("method") != "forward" or returned not in (output, [output]):
        raise UnsupportedCheckpoint(
            f"{path}: its Transformer returns {returned} of {text.get('method')}, not {output} of forward."
        )
    if settings.get("module_output_name") != name:
        raise UnsupportedCheckpoint(f"{path}: module_output_name is {settings.get('module_output_name')}, not {name}.")


def _check_calls(calls: Mapping[str, Any], path: Path) -> int | None:
    """Refuse arguments of the tokenizer's calls that change answers, but for a length; returns that."""
    check_fields(calls, ("audio", "chat_template", "common", "image", "text", "video"), f"{path}: processing_kwargs")
    length = None
    for group in ("text", "common"):
        where = f"{path}: processing_kwargs: {group}"
        arguments = object_in(calls, group, where)
        check_fields(arguments, (*_CALLS, "max_length"), where)
        for name, harmless in _CALLS.items():
            if name in arguments and not any(
                arguments[name] is value or arguments[name] == value for value in harmless
            ):
                raise UnsupportedCheckpoint(f"{where}: {name} {arguments[name]!r} is not supported.")
        length = whole_number(arguments, "max_length", where) or length
    return length
