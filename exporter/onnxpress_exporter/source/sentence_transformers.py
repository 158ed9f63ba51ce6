"""Reads the files of sentence-transformers in a folder: how token states become a vector, and which prompts there are.

Reads JSON only, in the old and in the current layout; loads no weights and builds no graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxpress.layouts.head_files import LAYERS
from onnxpress.layouts.sentence_files import LEGACY_MODES, SIMILARITIES, pooling_modes
from onnxpress.layouts.sentence_files import SETTINGS as SETTINGS_FILE
from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.source.fields import check_fields, object_in, whole_number
from onnxpress_exporter.source.load_arguments import LoadArguments, read_load_arguments
from onnxpress_exporter.source.modules import SentenceModule, check_origin, sentence_modules
from onnxpress_exporter.source.static_embeddings import is_static, static_load_arguments
from onnxpress_exporter.source.weights import read_json

POOLING_MODES: tuple[str, ...] = tuple(LEGACY_MODES)

#: What a settings file has beside the fields of its kind of model. `requirements`: of packages that load it.
_COMMON_FIELDS = ("__version__", "default_prompt_name", "model_type", "prompts", "requirements")
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "SentenceTransformer": ("similarity_fn_name", "truncate_dim"),
    "CrossEncoder": ("activation_fn", "keep_in_fp32_modules"),
    "SparseEncoder": ("similarity_fn_name", "max_active_dims"),
    "MultiVectorEncoder": ("similarity_fn_name",),
}

#: Which vector a module reads and writes.
_NAMES = ("module_input_name", "module_output_name")
_LAYER_FIELDS: Mapping[str, tuple[str, ...]] = {
    "Dense": (*_NAMES, "activation_function", "bias", "in_features", "out_features", "use_residual"),
    "LayerNorm": ("dimension",),
}
_IDENTITY_MODULES = ("Dropout",)

#: What the library calls the vector of a text.
SENTENCE = "sentence_embedding"


@dataclass(frozen=True, slots=True)
class HeadLayer:
    """One layer between pooling and normalization: `kind` is "Dense" or "LayerNorm"."""

    kind: str
    folder: Path
    in_features: int
    out_features: int
    bias: bool
    activation_path: str  # of a class in torch.nn; its Identity for none
    residual: bool

    @property
    def activation(self) -> str:
        """The name of the class."""
        return self.activation_path.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class Prompts:
    """Texts put before an input, by name, and the one that is used without being asked for."""

    texts: Mapping[str, str]
    default: str | None


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
    similarity: str
    embedding_dim: int
    truncate_dim: int | None


def saved_model_type(folder: Path) -> str | None:
    """Which of sentence-transformers' kinds of model a folder holds; None: it has no modules.json."""
    if not sentence_modules(folder):
        return None
    path = folder / SETTINGS_FILE
    return str(read_json(path).get("model_type") or "SentenceTransformer") if path.is_file() else "SentenceTransformer"


def saved_settings(folder: Path, kind: str) -> dict[str, Any]:
    """The settings of a whole model of that kind; the library reads none where there is no modules.json.

    Raises:
        UnsupportedCheckpoint: the model is of another kind, or has a field that is not understood.
    """
    path = folder / SETTINGS_FILE
    if not path.is_file() or saved_model_type(folder) is None:
        return {}
    if (saved := saved_model_type(folder)) != kind:
        raise UnsupportedCheckpoint(f"{path}: the model is a {saved}, not a {kind}.")
    settings = read_json(path)
    check_fields(settings, (*_COMMON_FIELDS, *_FIELDS[kind]), path)
    return settings


def read_prompts(folder: Path, settings: Mapping[str, Any], empty: tuple[str, ...] = ()) -> Prompts:
    """The prompts among a model's settings. `empty`: names that are known without having a text.

    Raises:
        UnsupportedCheckpoint: they are no texts, or the default one is not among them.
    """
    path = folder / SETTINGS_FILE
    texts = {}
    for name, text in object_in(settings, "prompts", path).items():
        if not (text is None or isinstance(text, str)):
            raise UnsupportedCheckpoint(f"{path}: the prompt {name!r} should be a text, not {text!r:.60}.")
        if text is not None:
            texts[str(name)] = text
    default = settings.get("default_prompt_name")
    if default in empty:
        texts.setdefault(default, "")
    if default is not None and default not in texts:
        raise UnsupportedCheckpoint(
            f"{path}: default_prompt_name {default!r} is not among the prompts ({', '.join(texts) or 'none'})."
        )
    return Prompts(texts, default)


def sentence_load_arguments(folder: Path) -> LoadArguments:
    """How the transformer of a model that makes vectors is loaded.

    Raises:
        UnsupportedCheckpoint: a module is not sentence-transformers' own, or a field is not understood.
    """
    modules = sentence_modules(folder)
    check_origin(folder, modules)
    if is_static(folder):
        return static_load_arguments(modules[0].folder)
    return read_load_arguments(modules[0].folder, "feature-extraction") if modules else LoadArguments(bounded=True)


def read_sentence_settings(folder: Path, hidden_size: int) -> SentenceSettings:
    """What the sentence-transformers files of `folder` say; without them, what the library makes of a bare model.

    Args:
        hidden_size: width of the transformer's last hidden state.

    Raises:
        UnsupportedCheckpoint: the modules are not Transformer, Pooling, Dense or LayerNorm, Normalize, or not the
            library's own; the message names the module. Or a field is not understood; the message names it.
    """
    modules = sentence_modules(folder)
    arguments = sentence_load_arguments(folder)
    pooling: tuple[str, ...]
    if is_static(folder):  # pooled by its graph
        pooling, include_prompt, width, after = (), True, hidden_size, modules[1:]
    else:
        pooling, include_prompt = _pooling(modules, hidden_size) if modules else ((_bare_pooling(folder),), True)
        width, after = hidden_size * len(pooling), modules[2:]
    dense, normalize = _after_pooling(folder, after, width)
    settings = saved_settings(folder, "SentenceTransformer")
    prompts = read_prompts(folder, settings, ("query", "document"))
    similarity = settings.get("similarity_fn_name") or "cosine"
    if similarity not in SIMILARITIES:
        raise UnsupportedCheckpoint(f"{folder}: similarity {similarity!r} is not one of {', '.join(SIMILARITIES)}.")
    dimensions = dense[-1].out_features if dense else width
    truncate_dim = whole_number(settings, "truncate_dim", folder / SETTINGS_FILE)
    return SentenceSettings(
        pooling=pooling,
        include_prompt=include_prompt,
        normalize=normalize,
        dense=dense,
        prompts=prompts.texts,
        default_prompt_name=prompts.default,
        max_seq_length=whole_number(arguments.tokenizer, "model_max_length", modules[0].folder if modules else folder),
        similarity=str(similarity),
        embedding_dim=dimensions,
        truncate_dim=None if truncate_dim is None or truncate_dim >= dimensions else truncate_dim,
    )


def _bare_pooling(folder: Path) -> str:
    """What the library does with a model of transformers: the last token of one that reads forwards, else the mean."""
    path = folder / "config.json"
    config = read_json(path) if path.is_file() else {}
    first = next(iter(config.get("architectures") or ()), "")
    return "lasttoken" if str(first).endswith("ForCausalLM") and config.get("is_causal", True) else "mean"


def _pooling(modules: tuple[SentenceModule, ...], hidden_size: int) -> tuple[tuple[str, ...], bool]:
    if modules[0].kind != "Transformer" or len(modules) < 2 or modules[1].kind != "Pooling":
        names = ", ".join(module.kind for module in modules)
        raise UnsupportedCheckpoint(
            f"{modules[0].folder}: its modules are {names}; only Transformer, Pooling, then Dense or "
            "LayerNorm, then Normalize are supported."
        )
    path = modules[1].folder / "config.json"
    config = read_json(path)
    widths = ("embedding_dimension", "word_embedding_dimension")
    check_fields(config, (*LEGACY_MODES.values(), *widths, "include_prompt", "pooling_mode"), path)
    modes = pooling_modes(config)
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
    for module in modules:
        if module.kind in _IDENTITY_MODULES:
            continue
        if module.kind == "Normalize":
            check_names(module, normalize_fields(folder, module))
            normalize = True
        elif module.kind in LAYERS and not normalize:
            layer = head_layer(module, width)
            layers.append(layer)
            width = layer.out_features
        elif module.kind in LAYERS:
            raise UnsupportedCheckpoint(f"{folder / 'modules.json'}: {module.kind} after Normalize is not supported.")
        else:
            raise UnsupportedCheckpoint(f"{folder / 'modules.json'}: the module {module.kind} is not supported.")
    return tuple(layers), normalize


def normalize_fields(folder: Path, module: SentenceModule) -> dict[str, Any]:
    """The fields of a Normalize module, which may have no folder of its own: config.json is the transformer's then."""
    path = module.folder / "config.json"
    fields = read_json(path) if path.is_file() else {}
    if module.folder != folder:
        check_fields(fields, _NAMES, path)
    return fields


def check_names(
    module: SentenceModule, config: Mapping[str, Any], names: tuple[str | None, ...] = (None, SENTENCE)
) -> None:
    """Refuse a module that works on other vectors than those that are called so."""
    for key in _NAMES:
        if config.get(key) not in names:
            raise UnsupportedCheckpoint(
                f"{module.folder}: {module.kind} works on {config.get(key)}, not on {names[-1]}."
            )


def head_layer(module: SentenceModule, width: int, names: tuple[str | None, ...] = (None, SENTENCE)) -> HeadLayer:
    """A layer that takes vectors of `width`. `names`: what the vectors that it works on may be called.

    Raises:
        UnsupportedCheckpoint: it works on others, or is not understood.
    """
    path = module.folder / "config.json"
    config = read_json(path)
    check_fields(config, _LAYER_FIELDS[module.kind], path)
    check_names(module, config, names)
    try:
        if module.kind == "Dense":
            in_features, out_features = int(config["in_features"]), int(config["out_features"])
        else:
            in_features = out_features = int(config["dimension"])
    except (KeyError, TypeError, ValueError) as error:
        raise UnsupportedCheckpoint(f"{path} lacks the layer's size: {error}.") from error
    if in_features != width:
        raise UnsupportedCheckpoint(f"{path}: the layer takes {in_features} elements, but is given {width}.")
    name = "torch.nn.modules.linear.Identity"
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
        activation_path=name,
        residual=bool(config.get("use_residual", False)),
    )
