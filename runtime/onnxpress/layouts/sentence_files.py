"""What sentence-transformers' files say of the vectors of texts: pooling, layers after it, normalization, prompts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from onnxpress.errors import UnsupportedFormat
from onnxpress.format.manifest import EmbeddingSettings
from onnxpress.layouts.files import Files
from onnxpress.layouts.head_files import LAYERS, Head, read_head

MODULES, SETTINGS = "modules.json", "config_sentence_transformers.json"
_OF_TRANSFORMER = "sentence_bert_config.json"

#: The library's order of concatenation -> the key that its older versions write.
LEGACY_MODES: Mapping[str, str] = {
    "cls": "pooling_mode_cls_token",
    "max": "pooling_mode_max_tokens",
    "mean": "pooling_mode_mean_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}
_LIBRARY = "sentence_transformers."
SIMILARITIES = ("cosine", "dot", "euclidean", "manhattan")
_KINDS = ("Transformer", "Pooling", "Normalize", "Dropout", *LAYERS)


@dataclass(frozen=True, slots=True)
class Vectors:
    """`settings`: how vectors are made of what a graph returns. `source`: the file that says how they are pooled.
    `head`: the layers after pooling; None: there are none, or the graph has them."""

    settings: EmbeddingSettings
    source: str
    head: Head | None = None


def is_sentence_model(files: Files) -> bool:
    """Whether the library's files are there, and are those of a model that makes vectors of single texts."""
    return (
        MODULES in files.names and files.settings(SETTINGS).get("model_type", "SentenceTransformer") != "CrossEncoder"
    )


def read_vectors(files: Files, width: int, pooled: bool) -> Vectors:
    """How vectors of texts are made.

    Args:
        width: the size of what the graph returns for a token, or, if it is `pooled`, for a text.

    Raises:
        UnsupportedFormat: the files name a module that is not the library's, or one that is not known here.
        CorruptFile: a file is no JSON, or weights are not those of their layer.
        MissingFile: a layer has no weights.
    """
    modules = _modules(files)
    kinds = [kind for kind, _ in modules]
    other = next((kind for kind in kinds if kind not in _KINDS), None)
    if other is not None and not pooled:
        raise UnsupportedFormat(
            f"{files.folder / MODULES}: the module {other} is not known here, and the graph lacks it: its vectors "
            "would be others. Export the checkpoint with `onnxpress export`."
        )
    folder = next((path for kind, path in modules if kind == "Pooling"), "")
    pooling_file = f"{folder}/config.json" if folder else "config.json"
    pooling = files.settings(pooling_file)
    settings = files.settings(SETTINGS)
    similarity = settings.get("similarity_fn_name")
    prompts = settings.get("prompts")
    texts = {str(name): text for name, text in (prompts or {}).items() if isinstance(text, str)}
    default = settings.get("default_prompt_name")
    limits = files.settings(_OF_TRANSFORMER)
    longest = limits.get("max_seq_length")
    modes = () if pooled else _modes(pooling, files, pooling_file)
    for key in ("word_embedding_dimension", "embedding_dimension"):
        if not pooled and pooling.get(key) not in (None, width):
            raise UnsupportedFormat(
                f"{files.folder / pooling_file}: {key} is {pooling[key]!r:.20}, and the graph gives {width} numbers "
                "for a token: one of them is of another model. Get both from the same export."
            )
    cut = settings.get("truncate_dim")
    head = None
    if not pooled:
        if "Normalize" in kinds and any(kind in LAYERS for kind in kinds[kinds.index("Normalize") :]):
            raise UnsupportedFormat(f"{files.folder / MODULES}: layers after Normalize are not known here.")
        head = read_head(files, modules, width * len(modes))
    dimensions = width if pooled else width * len(modes) if head is None else head.width
    return Vectors(
        EmbeddingSettings(
            pooling=modes,
            dimensions=dimensions,
            normalize="Normalize" in kinds,
            include_prompt=pooling.get("include_prompt", True) is not False,
            prompts=texts,
            default_prompt_name=default if default in texts else None,
            max_length=longest if isinstance(longest, int) and longest > 0 else None,
            do_lower_case=limits.get("do_lower_case") is True,
            similarity=similarity if similarity in SIMILARITIES else SIMILARITIES[0],
            truncate_dimensions=cut if isinstance(cut, int) and 0 < cut < dimensions else None,
        ),
        "the graph, which pools" if pooled else pooling_file,
        head,
    )


def _modules(files: Files) -> list[tuple[str, str]]:
    """The kind of each module and its folder, in order.

    Raises:
        UnsupportedFormat: one is not the library's own.
    """
    listed = files.json(MODULES)
    modules = []
    for module in listed if isinstance(listed, list) else ():
        kind, path = str(module.get("type")), module.get("path")
        if not kind.startswith(_LIBRARY):
            raise UnsupportedFormat(
                f"{files.folder / MODULES}: the module {kind} is the author's own code, which is not run. Ask the "
                "author for a graph that returns the vectors."
            )
        modules.append((kind.rpartition(".")[2], str(PurePosixPath(path)) if path else ""))
    return modules


def pooling_modes(config: Mapping[str, Any]) -> tuple[str, ...]:
    """What the config of a Pooling module says, in the present key or in the old ones; a mean where it says nothing."""
    said = config.get("pooling_mode")
    if said is None:
        said = [mode for mode, key in LEGACY_MODES.items() if config.get(key)] or ["mean"]
    return (said,) if isinstance(said, str) else tuple(map(str, said))


def _modes(pooling: Mapping[str, Any], files: Files, name: str) -> tuple[str, ...]:
    modes = pooling_modes(pooling)
    unknown = [mode for mode in modes if mode not in LEGACY_MODES]
    if unknown:
        raise UnsupportedFormat(f"{files.folder / name}: pooling {unknown[0]!r} is not known. Upgrade onnxpress.")
    return modes
