"""Reads the files of a CrossEncoder of sentence-transformers, which scores pairs of texts.

Up to version 5 its settings are in config.json; since version 6 it has modules and a settings file of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.source.load_arguments import LoadArguments, read_load_arguments
from onnxpress_exporter.source.modules import check_origin, sentence_modules
from onnxpress_exporter.source.sentence_transformers import Prompts, read_prompts, saved_model_type, saved_settings

_KIND = "CrossEncoder"
_LEGACY_ACTIVATION = "sbert_ce_default_activation_function"
_ACTIVATIONS: Mapping[str, str] = {"Sigmoid": "sigmoid", "Identity": "identity"}


@dataclass(frozen=True, slots=True)
class CrossEncoderSettings:
    """`activation`: what turns a pair's logit into its score, "sigmoid" or "identity"."""

    activation: str
    prompts: Prompts


def is_cross_encoder(folder: Path, config: Mapping[str, Any]) -> bool:
    """Whether sentence-transformers saved this as a CrossEncoder that gives a pair one score.

    Args:
        config: the content of config.json.
    """
    if _labels(config) != 1:
        return False
    kind = saved_model_type(folder)
    if kind is not None:
        return kind == _KIND
    saved = config.get("sentence_transformers")
    return (isinstance(saved, Mapping) and "activation_fn" in saved) or _LEGACY_ACTIVATION in config


def cross_encoder_load_arguments(folder: Path) -> LoadArguments:
    """How the transformer of a cross-encoder is loaded.

    Raises:
        UnsupportedCheckpoint: it has other modules than one Transformer of the library's own, or a field that is not
            understood.
    """
    modules = sentence_modules(folder) if saved_model_type(folder) == _KIND else ()
    if not modules:
        return LoadArguments(bounded=True)
    check_origin(folder, modules)
    if [module.kind for module in modules] != ["Transformer"]:
        names = ", ".join(module.kind for module in modules)
        raise UnsupportedCheckpoint(
            f"{folder / 'modules.json'}: a cross-encoder's modules are {names}; only one Transformer is supported."
        )
    return read_load_arguments(modules[0].folder, "sequence-classification")


def read_cross_encoder(folder: Path, config: Mapping[str, Any]) -> CrossEncoderSettings:
    """What the library's settings, its own or those in config.json, say of scores and prompts.

    Raises:
        UnsupportedCheckpoint: the activation is not known, or a field is not understood.
    """
    settings = saved_settings(folder, _KIND) if saved_model_type(folder) == _KIND else {}
    saved = config.get("sentence_transformers")
    names = (
        settings.get("activation_fn"),
        saved.get("activation_fn") if isinstance(saved, Mapping) else None,
        config.get(_LEGACY_ACTIVATION),
    )
    name = next((name for name in names if name is not None), None)
    return CrossEncoderSettings(_activation(name, config), read_prompts(folder, settings))


def _activation(name: object, config: Mapping[str, Any]) -> str:
    """The library's rule: what the settings name, otherwise a sigmoid if there is one label."""
    if name is None:
        return "sigmoid" if _labels(config) == 1 else "identity"
    short = str(name).rpartition(".")[2]
    if not str(name).startswith("torch.") or short not in _ACTIVATIONS:
        raise UnsupportedCheckpoint(
            f"The cross-encoder's activation {name} is not supported; known: torch's Sigmoid, Identity."
        )
    return _ACTIVATIONS[short]


def _labels(config: Mapping[str, Any]) -> int:
    """How many labels config.json gives the model."""
    named = config.get("id2label")
    return len(named) if named else int(config.get("num_labels") or 2)
