"""Writes sentence-transformers' own files into an artifact, so that the library makes the vectors, or scores, of its
checkpoint of the artifact's graph; text-embeddings-inference reads the same files.

They are made anew, not copied: the transformer's files stand at the root here wherever a checkpoint has them, and one
folder for each module is what every version of the library reads. Our runtime reads none of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onnxpress.layouts.sentence_files import LEGACY_MODES
from onnxpress.layouts.sentence_files import SETTINGS as SETTINGS_FILE
from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.source.checkpoint import Checkpoint
from onnxpress_exporter.source.cross_encoders import read_cross_encoder
from onnxpress_exporter.source.modules import sentence_modules
from onnxpress_exporter.source.sentence_transformers import (
    HeadLayer,
    SentenceSettings,
    read_sentence_settings,
    saved_model_type,
)
from onnxpress_exporter.source.weights import SAFETENSORS
from onnxpress_exporter.tasks.outputs import hidden_size
from onnxpress_exporter.tasks.sentence_head import read_weights

#: The names of the modules' classes that every version of the library knows.
_PACKAGE = "sentence_transformers.models"
_ACTIVATIONS = {"sigmoid": "torch.nn.modules.activation.Sigmoid", "identity": "torch.nn.modules.linear.Identity"}
_MODULES, _OF_TRANSFORMER, _CONFIG = "modules.json", "sentence_bert_config.json", "config.json"


def write_embedder(checkpoint: Checkpoint, model: Any, folder: Path, allow_pickled: bool) -> None:
    """The files of a model that makes one vector of a text.

    Raises:
        UnsupportedCheckpoint: its own files are not understood.
    """
    settings = read_sentence_settings(checkpoint.folder, hidden_size(model))
    modules = [("Transformer", "")]
    pooling = f"{len(modules)}_Pooling"
    modules.append(("Pooling", pooling))
    _write(folder / pooling / _CONFIG, _pooling(settings, hidden_size(model)))
    for layer in settings.dense:
        name = f"{len(modules)}_{layer.kind}"
        modules.append((layer.kind, name))
        _write_layer(layer, folder / name, allow_pickled)
    if settings.normalize:
        name = f"{len(modules)}_Normalize"
        modules.append(("Normalize", name))
        _write(folder / name / _CONFIG, {})
    _write_modules(folder, modules)
    # Of one letter case or both: the tokenizer here does what the checkpoint's settings say.
    _write(folder / _OF_TRANSFORMER, {"max_seq_length": settings.max_seq_length, "do_lower_case": False})
    whole = {
        "model_type": "SentenceTransformer",
        "prompts": dict(settings.prompts),
        "default_prompt_name": settings.default_prompt_name,
        "similarity_fn_name": settings.similarity,
    }
    _write(folder / SETTINGS_FILE, whole | ({"truncate_dim": cut} if (cut := settings.truncate_dim) else {}))


def write_embedder_if_there(checkpoint: Checkpoint, model: Any, folder: Path, allow_pickled: bool) -> None:
    """As `write_embedder`, of a checkpoint that the library saved; nothing where its modules are not understood, since
    token vectors are what was asked for."""
    if saved_model_type(checkpoint.folder) != "SentenceTransformer":
        return
    try:
        write_embedder(checkpoint, model, folder, allow_pickled)
    except UnsupportedCheckpoint:
        return


def write_cross_encoder(checkpoint: Checkpoint, model: Any, folder: Path, allow_pickled: bool) -> None:
    """What makes a pair's score of the logit, where every version of the library looks for it, and the prompts."""
    settings = read_cross_encoder(checkpoint.folder, checkpoint.config)
    activation = _ACTIVATIONS[settings.activation]
    config = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
    saved = config.get("sentence_transformers")
    config["sentence_transformers"] = {**(saved if isinstance(saved, Mapping) else {}), "activation_fn": activation}
    _write(folder / _CONFIG, config)
    modules = sentence_modules(checkpoint.folder)
    if not modules:
        return
    # Versions before 6 have no modules of cross-encoders, and do not look.
    _write_modules(folder, [("Transformer", "")])
    of_transformer = modules[0].folder / _OF_TRANSFORMER
    if of_transformer.is_file():
        (folder / _OF_TRANSFORMER).write_bytes(of_transformer.read_bytes())
    prompts = {"prompts": dict(settings.prompts.texts), "default_prompt_name": settings.prompts.default}
    _write(folder / SETTINGS_FILE, {"model_type": "CrossEncoder", "activation_fn": activation, **prompts})


def _pooling(settings: SentenceSettings, width: int) -> dict[str, Any]:
    """By the flags that all readers know, and by name, which versions before 5 take one of."""
    flags = {key: mode in settings.pooling for mode, key in LEGACY_MODES.items()}
    named = {"pooling_mode": settings.pooling[0]} if len(settings.pooling) == 1 else {}
    return {"word_embedding_dimension": width, **flags, "include_prompt": settings.include_prompt, **named}


def _write_layer(layer: HeadLayer, folder: Path, allow_pickled: bool) -> None:
    from safetensors.torch import save_file

    config: dict[str, Any] = {"dimension": layer.out_features}
    if layer.kind == "Dense":
        config = {
            "in_features": layer.in_features,
            "out_features": layer.out_features,
            "bias": layer.bias,
            "activation_function": layer.activation_path,
        }
        config |= {"use_residual": True} if layer.residual else {}
    _write(folder / _CONFIG, config)
    weights = {name: tensor.contiguous() for name, tensor in read_weights(layer.folder, allow_pickled).items()}
    save_file(weights, folder / SAFETENSORS[0], metadata={"format": "pt"})


def _write_modules(folder: Path, modules: list[tuple[str, str]]) -> None:
    entries = [
        {"idx": number, "name": str(number), "path": path, "type": f"{_PACKAGE}.{kind}"}
        for number, (kind, path) in enumerate(modules)
    ]
    _write(folder / _MODULES, entries)


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
