"""Reads the files of a model with a vector for each token (ColBERT), as sentence-transformers and PyLate save it."""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxpress.format.manifest import TokenVectors
from onnxpress.layouts.sentence_files import SETTINGS
from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.source.fields import check_fields, object_in, whole_number
from onnxpress_exporter.source.load_arguments import (
    GIVES_STATES,
    LoadArguments,
    read_load_arguments,
    transformer_settings,
)
from onnxpress_exporter.source.modules import SentenceModule, check_origin, sentence_modules
from onnxpress_exporter.source.sentence_transformers import (
    HeadLayer,
    check_names,
    head_layer,
    normalize_fields,
    read_prompts,
    saved_model_type,
)
from onnxpress_exporter.source.weights import read_json

#: How the library calls such models, and how PyLate did before.
KIND, OF_PYLATE = "MultiVectorEncoder", "ColBERT"
KINDS = (KIND, OF_PYLATE)
MEASURES = ("maxsim", "meanmaxsim")

_TOKENS = "token_embeddings"
_MASK_FIELDS = ("skiplist_words", "skiplist_tasks", "keep_only_token_ids")

#: What PyLate saved of a whole model, beside what every kind has.
_PYLATE = frozenset(
    {
        *("query_length", "document_length", "query_expansion", "query_prefix", "document_prefix", "skiplist_words"),
        *("do_query_expansion", "attend_to_expansion_tokens", "attend_to_mask_tokens"),
    }
)
_WHOLE = (*_PYLATE, "__version__", "default_prompt_name", "model_type", "prompts", "requirements", "similarity_fn_name")
_USUAL_QUERY = 32


@dataclass(frozen=True, slots=True)
class MultiVectorSettings:
    """`words`: tokens that do not count in texts of the roles `skipped_in`; `expansion`: how queries are filled up."""

    dense: tuple[HeadLayer, ...]
    dimensions: int
    normalize: bool
    words: tuple[str, ...]
    skipped_in: tuple[str, ...]
    query_length: int | None
    document_length: int | None
    expansion: Mapping[str, Any] | None
    prompts: Mapping[str, str]
    default_prompt_name: str | None
    max_seq_length: int | None
    similarity: str

    def tokens(self, tokenizer: Any) -> TokenVectors:
        """The same by token ids.

        Raises:
            UnsupportedCheckpoint: the tokenizer has no token to fill queries with.
        """
        unknown = tokenizer.unk_token_id
        ids = [(word, tokenizer.convert_tokens_to_ids(word)) for word in self.words]
        skipped = sorted({number for word, number in ids if number != unknown or word == tokenizer.unk_token})
        fills, expansion = None, self.expansion
        if expansion is not None:
            token = expansion.get("token")
            fills = tokenizer.mask_token_id if token is None else tokenizer.convert_tokens_to_ids(token)
            fills = tokenizer.eos_token_id if fills is None else fills
            if fills is None:
                raise UnsupportedCheckpoint("Its queries are filled up, and its tokenizer has no token for that.")
        return TokenVectors(
            query_length=self.query_length,
            document_length=self.document_length,
            expansion_id=fills,
            expansion_length=0 if expansion is None else int(expansion["length"]),
            expansion_fixed=expansion is None or expansion.get("strategy", "fixed") == "fixed",
            attends_to_expansion=expansion is not None and bool(expansion.get("attend", False)),
            skipped_ids=tuple(skipped),
            skipped_in=self.skipped_in,
        )


def multi_vector_load_arguments(folder: Path) -> LoadArguments:
    """How the transformer is loaded.

    Raises:
        UnsupportedCheckpoint: a module is not sentence-transformers' own, or a field is not understood.
    """
    modules = sentence_modules(folder)
    check_origin(folder, modules)
    return read_load_arguments(modules[0].folder, GIVES_STATES, multi_vector=True)


def read_multi_vector_settings(folder: Path, hidden_size: int) -> MultiVectorSettings:
    """What the files of such a model say.

    Raises:
        UnsupportedCheckpoint: a module or a field is not understood; the message names it.
    """
    modules, path = sentence_modules(folder), folder / SETTINGS
    whole = read_json(path) if path.is_file() else {}
    check_fields(whole, _WHOLE, path)
    of_pylate = saved_model_type(folder) == OF_PYLATE
    dense, normalize, mask = _modules(folder, modules, hidden_size)
    similarity = whole.get("similarity_fn_name")
    knobs = _knobs(modules[0], whole, path)
    words = mask.get("skiplist_words")
    if of_pylate:
        normalize = True
        words = whole.get("skiplist_words")
        words = list(string.punctuation) if words is None else words
    if mask.get("keep_only_token_ids"):
        raise UnsupportedCheckpoint(f"{folder}: keep_only_token_ids, which is of pictures, is not supported.")
    skipped_in = mask.get("skiplist_tasks")
    prompts = read_prompts(folder, _with_prefixes(whole), ("query", "document"))
    limit = multi_vector_load_arguments(folder).tokenizer
    return MultiVectorSettings(
        dense=dense,
        dimensions=dense[-1].out_features if dense else hidden_size,
        normalize=normalize,
        words=tuple(map(str, words or ())),
        skipped_in=(skipped_in,) if isinstance(skipped_in, str) else tuple(skipped_in or ("document",)),
        query_length=whole_number(knobs, "query_length", path),
        document_length=whole_number(knobs, "document_length", path),
        expansion=knobs.get("query_expansion"),
        prompts=prompts.texts,
        default_prompt_name=prompts.default,
        max_seq_length=whole_number(limit, "model_max_length", modules[0].folder),
        similarity=similarity if similarity in MEASURES else MEASURES[0],
    )


def _modules(
    folder: Path, modules: tuple[SentenceModule, ...], width: int
) -> tuple[tuple[HeadLayer, ...], bool, dict[str, Any]]:
    """The layers of each token's vector, whether it is normalized, and what the mask says."""
    layers: list[HeadLayer] = []
    normalize, mask = False, {}
    for number, module in enumerate(modules):
        if number == 0 and module.kind == "Transformer":
            continue
        if module.kind == "Dense" and not normalize:
            layers.append(head_layer(module, width, (None, _TOKENS)))
            width = layers[-1].out_features
        elif module.kind == "Normalize":
            check_names(module, normalize_fields(folder, module), (None, _TOKENS))
            normalize = True
        elif module.kind == "MultiVectorMask":
            path = module.folder / "config.json"
            mask = read_json(path)
            check_fields(mask, _MASK_FIELDS, path)
        else:
            raise UnsupportedCheckpoint(
                f"{folder / 'modules.json'}: the module {module.kind} is not supported here; of multi-vector models "
                "Transformer, Dense, MultiVectorMask and Normalize are, in this order or the last two turned."
            )
    return tuple(layers), normalize, mask


def _knobs(transformer: SentenceModule, whole: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Lengths and expansion: of the Transformer module, or of PyLate's settings, as the library translates them."""
    inner_path, said = transformer_settings(transformer.folder)
    knobs = {name: said[name] for name in ("query_length", "document_length", "query_expansion") if said.get(name)}
    knobs |= {name: whole[name] for name in ("query_length", "document_length") if whole.get(name)}
    if "query_expansion" in whole:
        knobs["query_expansion"] = whole["query_expansion"]
    elif _PYLATE & set(whole):
        if whole.get("do_query_expansion") is False:
            knobs["query_expansion"] = None
        else:
            attends = whole.get("attend_to_expansion_tokens", whole.get("attend_to_mask_tokens"))
            length = knobs.pop("query_length", None) or _USUAL_QUERY
            knobs["query_expansion"] = {"strategy": "fixed", "attend": bool(attends), "length": length}
    expansion = knobs.get("query_expansion")
    if expansion is not None:
        expansion = object_in(knobs, "query_expansion", inner_path)
        check_fields(expansion, ("strategy", "attend", "token", "length"), inner_path)
        if expansion.get("strategy", "fixed") not in ("fixed", "min") or not isinstance(expansion.get("length"), int):
            raise UnsupportedCheckpoint(f"{path}: query_expansion {expansion} is not understood.")
    return knobs


def _with_prefixes(whole: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with PyLate's prefixes before the prompts, as the library puts them."""
    prompts = dict(whole.get("prompts") or {})
    for name in ("query", "document"):
        if (prefix := whole.get(f"{name}_prefix")) is not None:
            prompts[name] = prefix + (prompts.get(name) or "").removeprefix(prefix)
    return {**whole, "prompts": prompts}
