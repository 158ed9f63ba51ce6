"""Reads the files of a SparseEncoder: how the scores of a masked language model become one sparse vector (SPLADE)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from onnxpress.layouts.sentence_files import SETTINGS, SIMILARITIES
from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.source.fields import check_fields, whole_number
from onnxpress_exporter.source.load_arguments import FILLS_MASKS, GIVES_STATES, LoadArguments, read_load_arguments
from onnxpress_exporter.source.modules import TRANSFORMERS, check_origin, sentence_modules
from onnxpress_exporter.source.sentence_transformers import read_prompts, saved_settings
from onnxpress_exporter.source.weights import read_json

KIND = "SparseEncoder"

_POOLING = {"pooling_strategy": ("max", "sum"), "activation_function": ("relu", "log1p_relu")}


@dataclass(frozen=True, slots=True)
class SparseSettings:
    """`strategy`: "max" or "sum" over the tokens of a text. `twice`: whether the logarithm is taken twice."""

    strategy: str
    twice: bool
    prompts: Mapping[str, str]
    default_prompt_name: str | None
    max_seq_length: int | None
    max_active_dims: int | None
    similarity: str


def sparse_load_arguments(folder: Path) -> LoadArguments:
    """How the transformer is loaded.

    Raises:
        UnsupportedCheckpoint: a module is not sentence-transformers' own, or a field is not understood.
    """
    modules = sentence_modules(folder)
    check_origin(folder, modules)
    usual = GIVES_STATES if modules[0].kind == TRANSFORMERS[0] else FILLS_MASKS
    return read_load_arguments(modules[0].folder, FILLS_MASKS, usual=usual)


def read_sparse_settings(folder: Path) -> SparseSettings:
    """What the files of a SparseEncoder say.

    Raises:
        UnsupportedCheckpoint: its modules are not a masked language model and SpladePooling, or a field is not
            understood.
    """
    modules = sentence_modules(folder)
    kinds = [module.kind for module in modules]
    if len(kinds) != 2 or kinds[0] not in TRANSFORMERS or kinds[1] != "SpladePooling":
        raise UnsupportedCheckpoint(
            f"{folder / 'modules.json'}: its modules are {', '.join(kinds)}; of sparse encoders those of a masked "
            "language model and SpladePooling are supported."
        )
    path = modules[1].folder / "config.json"
    config = read_json(path)
    check_fields(config, (*_POOLING, "embedding_dimension", "word_embedding_dimension", "chunk_size"), path)
    chosen = {name: config.get(name) or known[0] for name, known in _POOLING.items()}
    for name, known in _POOLING.items():
        if chosen[name] not in known:
            raise UnsupportedCheckpoint(f"{path}: {name} {chosen[name]!r} is not one of {', '.join(known)}.")
    settings = saved_settings(folder, KIND)
    prompts = read_prompts(folder, settings, ("query", "document"))
    similarity = str(settings.get("similarity_fn_name") or "dot")
    if similarity not in SIMILARITIES:
        raise UnsupportedCheckpoint(f"{folder}: similarity {similarity!r} is not one of {', '.join(SIMILARITIES)}.")
    length = sparse_load_arguments(folder).tokenizer
    return SparseSettings(
        strategy=chosen["pooling_strategy"],
        twice=chosen["activation_function"] == "log1p_relu",
        prompts=prompts.texts,
        default_prompt_name=prompts.default,
        max_seq_length=whole_number(length, "model_max_length", modules[0].folder),
        max_active_dims=whole_number(settings, "max_active_dims", folder / SETTINGS),
        similarity=similarity,
    )
