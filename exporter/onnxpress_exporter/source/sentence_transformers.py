"""Reads the files of sentence-transformers in a folder: modules, pooling, prompts, limits.

Reads JSON only, in the old and in the current layout; loads no weights and builds no graph.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.source.weights import read_json

# sentence-transformers' order of concatenation -> the key that older versions wrote.
_LEGACY_MODES: Mapping[str, str] = {
    "cls": "pooling_mode_cls_token",
    "max": "pooling_mode_max_tokens",
    "mean": "pooling_mode_mean_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}
POOLING_MODES: tuple[str, ...] = tuple(_LEGACY_MODES)

# The Transformer module's file has borne the name of its first architecture.
_TRANSFORMER_CONFIGS = (
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
)
_HEAD_MODULES = ("Dense", "LayerNorm")
_IDENTITY_MODULES = ("Dropout",)
_SIMILARITIES = ("cosine", "dot", "euclidean", "manhattan")


@dataclass(frozen=True, slots=True)
class HeadLayer:
    """One layer between pooling and normalization: `kind` is "Dense" or "LayerNorm"."""

    kind: str
    folder: Path
    in_features: int
    out_features: int
    bias: bool
    activation: str  # name of a class in torch.nn; "Identity" for none
    residual: bool


@dataclass(frozen=True, slots=True)
class SentenceSettings:
    """How token states become one embedding, in sentence-transformers' terms."""

    pooling: tuple[str, ...]
    include_prompt: bool
    normalize: bool
    dense: tuple[HeadLayer, ...]
    prompts: Mapping[str, str]
    default_prompt_name: str | None
    max_seq_length: int | None
    do_lower_case: bool
    similarity: str
    embedding_dim: int
    truncate_dim: int | None


@dataclass(frozen=True, slots=True)
class SentenceModule:
    """One entry of modules.json: class name without its package, and the folder of its files."""

    kind: str
    folder: Path


def sentence_modules(folder: Path) -> tuple[SentenceModule, ...]:
    """The entries of modules.json in order; empty if the folder has none."""
    path = folder / "modules.json"
    if not path.is_file():
        return ()
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(entries, list) or not entries:
            raise TypeError("expected a list with something in it")
        entries = sorted(entries, key=lambda entry: entry.get("idx", 0))
        modules = [(str(entry["type"]), str(entry.get("path", ""))) for entry in entries]
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UnsupportedCheckpoint(f"{path} is not a list of modules: {error}.") from error
    root = folder.resolve()
    for _, relative in modules:
        if not (root / relative).resolve().is_relative_to(root):
            raise UnsupportedCheckpoint(f"{path} names a folder outside its own: {relative!r}.")
    return tuple(SentenceModule(kind=kind.rpartition(".")[2], folder=folder / relative) for kind, relative in modules)


def transformer_folder(folder: Path) -> Path:
    """Where the transformer's config and weights are: often `folder`, in old layouts below it."""
    modules = sentence_modules(folder)
    if not modules or ((folder / "config.json").is_file() and modules[0].folder == folder):
        return folder
    if modules[0].kind != "Transformer":
        raise UnsupportedCheckpoint(
            f"{folder / 'modules.json'} begins with {modules[0].kind}; only Transformer is supported."
        )
    return modules[0].folder


def is_cross_encoder(folder: Path, config: Mapping[str, Any]) -> bool:
    """Whether sentence-transformers saved this as a CrossEncoder, which scores pairs."""
    path = folder / "config_sentence_transformers.json"
    if path.is_file() and read_json(path).get("model_type") == "CrossEncoder":
        return True
    if sentence_modules(folder):
        return False
    saved = config.get("sentence_transformers")
    written = isinstance(saved, Mapping) and "activation_fn" in saved
    legacy = "sbert_ce_default_activation_function" in config
    return (written or legacy) and len(config.get("id2label") or {0: "", 1: ""}) == 1


def ranking_activation(config: Mapping[str, Any]) -> str:
    """What turns a cross-encoder's logit into its score: "sigmoid" or "identity".

    CrossEncoder's rule: what the config names, otherwise a sigmoid if there is one label.
    """
    saved = config.get("sentence_transformers")
    saved = saved if isinstance(saved, Mapping) else {}
    name = saved.get("activation_fn") or config.get("sbert_ce_default_activation_function")
    if name is None:
        return "sigmoid" if len(config.get("id2label") or {0: "", 1: ""}) == 1 else "identity"
    known = {"Sigmoid": "sigmoid", "Identity": "identity"}
    short = str(name).rpartition(".")[2]
    if not str(name).startswith("torch.") or short not in known:
        raise UnsupportedCheckpoint(
            f"The cross-encoder's activation {name} is not supported; known: torch's Sigmoid, Identity."
        )
    return known[short]


def read_sentence_settings(folder: Path, hidden_size: int) -> SentenceSettings:
    """What the sentence-transformers files of `folder` say; mean pooling where there are none.

    `hidden_size`: width of the transformer's last hidden state. Raises UnsupportedCheckpoint,
    naming the module, if the modules are not Transformer, Pooling, Dense or LayerNorm, Normalize.
    """
    modules = sentence_modules(folder)
    first = modules[0].folder if modules else folder
    transformer = _first_json(first, _TRANSFORMER_CONFIGS)
    _check_transformer(first, transformer)
    pooling, include_prompt = _pooling(modules, hidden_size)
    dense, normalize = _after_pooling(folder, modules, hidden_size * len(pooling))
    saved = _first_json(folder, ("config_sentence_transformers.json",))
    prompts = {str(name): str(text) for name, text in (saved.get("prompts") or {}).items() if text is not None}
    default = saved.get("default_prompt_name")
    if default is not None and default not in prompts:
        raise UnsupportedCheckpoint(
            f"{folder}: default_prompt_name {default!r} is not among the prompts ({', '.join(prompts) or 'none'})."
        )
    similarity = saved.get("similarity_fn_name") or "cosine"
    if similarity not in _SIMILARITIES:
        raise UnsupportedCheckpoint(f"{folder}: similarity {similarity!r} is not one of {', '.join(_SIMILARITIES)}.")
    max_length = transformer.get("max_seq_length")
    truncate_dim = saved.get("truncate_dim")
    return SentenceSettings(
        pooling=pooling,
        include_prompt=include_prompt,
        normalize=normalize,
        dense=dense,
        prompts=prompts,
        default_prompt_name=default,
        max_seq_length=None if max_length is None else int(max_length),
        do_lower_case=bool(transformer.get("do_lower_case", False)),
        similarity=str(similarity),
        embedding_dim=dense[-1].out_features if dense else hidden_size * len(pooling),
        truncate_dim=None if truncate_dim is None else int(truncate_dim),
    )


def _first_json(folder: Path, names: tuple[str, ...]) -> dict[str, Any]:
    path = next((folder / name for name in names if (folder / name).is_file()), None)
    return {} if path is None else read_json(path)


def _check_transformer(folder: Path, config: Mapping[str, Any]) -> None:
    task = config.get("transformer_task", "feature-extraction")
    modalities = set(config.get("modality_config") or {"text": {}})
    for used in ("query_length", "document_length", "query_expansion"):
        if config.get(used) is not None:
            raise UnsupportedCheckpoint(f"{folder}: {used} (multi-vector models) is not supported.")
    if task not in ("feature-extraction", "sequence-classification"):
        raise UnsupportedCheckpoint(f"{folder}: its Transformer does {task}, not embeddings.")
    if "text" not in modalities:
        raise UnsupportedCheckpoint(f"{folder}: its Transformer takes {', '.join(sorted(modalities))}, not plain text.")


def _pooling(modules: tuple[SentenceModule, ...], hidden_size: int) -> tuple[tuple[str, ...], bool]:
    if not modules:
        return ("mean",), True
    if modules[0].kind != "Transformer" or len(modules) < 2 or modules[1].kind != "Pooling":
        names = ", ".join(module.kind for module in modules)
        raise UnsupportedCheckpoint(
            f"{modules[0].folder}: its modules are {names}; only Transformer, Pooling, then Dense or "
            "LayerNorm, then Normalize are supported."
        )
    path = modules[1].folder / "config.json"
    config = read_json(path)
    modes = config.get("pooling_mode")
    if modes is None:
        modes = [mode for mode, key in _LEGACY_MODES.items() if config.get(key)] or ["mean"]
    modes = (modes,) if isinstance(modes, str) else tuple(str(mode) for mode in modes)
    if not modes or (unknown := [mode for mode in modes if mode not in POOLING_MODES]):
        raise UnsupportedCheckpoint(f"{path}: unknown pooling mode {unknown[0] if modes else modes}.")
    width = config.get("embedding_dimension", config.get("word_embedding_dimension", hidden_size))
    if width != hidden_size:
        raise UnsupportedCheckpoint(f"{path} pools vectors of {width}, but the model's have {hidden_size} elements.")
    return modes, bool(config.get("include_prompt", True))


def _after_pooling(folder: Path, modules: tuple[SentenceModule, ...], width: int) -> tuple[tuple[HeadLayer, ...], bool]:
    """The layers after pooling, and whether the embedding is normalized at the end."""
    layers: list[HeadLayer] = []
    normalize = False
    for module in modules[2:]:
        if module.kind in _IDENTITY_MODULES:
            continue
        if module.kind == "Normalize":
            _check_names(module, _optional_json(module))
            normalize = True
        elif module.kind in _HEAD_MODULES and not normalize:
            layer = _head_layer(module, width)
            layers.append(layer)
            width = layer.out_features
        elif module.kind in _HEAD_MODULES:
            raise UnsupportedCheckpoint(f"{folder / 'modules.json'}: {module.kind} after Normalize is not supported.")
        else:
            raise UnsupportedCheckpoint(f"{folder / 'modules.json'}: the module {module.kind} is not supported.")
    return tuple(layers), normalize


def _optional_json(module: SentenceModule) -> dict[str, Any]:
    path = module.folder / "config.json"
    # In the current layout Normalize may share the root folder with the transformer.
    return read_json(path) if path.is_file() and module.folder.name else {}


def _check_names(module: SentenceModule, config: Mapping[str, Any]) -> None:
    for key in ("module_input_name", "module_output_name"):
        if config.get(key) not in (None, "sentence_embedding"):
            raise UnsupportedCheckpoint(f"{module.folder}: {module.kind} works on {config[key]}, not on the embedding.")


def _head_layer(module: SentenceModule, width: int) -> HeadLayer:
    path = module.folder / "config.json"
    config = read_json(path)
    _check_names(module, config)
    try:
        if module.kind == "Dense":
            in_features, out_features = int(config["in_features"]), int(config["out_features"])
        else:
            in_features = out_features = int(config["dimension"])
    except (KeyError, TypeError, ValueError) as error:
        raise UnsupportedCheckpoint(f"{path} lacks the layer's size: {error}.") from error
    if in_features != width:
        raise UnsupportedCheckpoint(f"{path}: the layer takes {in_features} elements, but is given {width}.")
    name = "Identity"
    if module.kind == "Dense":
        name = str(config.get("activation_function") or "torch.nn.modules.activation.Tanh")
        if not name.startswith("torch.nn."):
            raise UnsupportedCheckpoint(f"{path}: the activation {name} is not one of torch.nn.")
    return HeadLayer(
        kind=module.kind,
        folder=module.folder,
        in_features=in_features,
        out_features=out_features,
        bias=bool(config.get("bias", True)),
        activation=name.rpartition(".")[2],
        residual=bool(config.get("use_residual", False)),
    )
