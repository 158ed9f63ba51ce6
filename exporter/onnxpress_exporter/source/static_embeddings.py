"""Reads StaticEmbedding, the module of sentence-transformers that means over a table of tokens, in its files and in
model2vec's: a table, a plain tokenizer, and no config of transformers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.source.load_arguments import LoadArguments
from onnxpress_exporter.source.modules import STATIC, sentence_modules
from onnxpress_exporter.source.weights import read_json

if TYPE_CHECKING:
    import torch

#: What the manifest calls a model that has no config of its own.
MODEL_TYPE = "static-embedding"

_TOKENIZER = "tokenizer.json"

#: The table's name as sentence-transformers saves it, and as model2vec does, with what goes with it.
_OF_LIBRARY, _OF_MODEL2VEC, _PLACES, _WEIGHTS = "embedding.weight", "embeddings", "mapping", "weights"


def is_static(folder: Path) -> bool:
    """Whether a folder's vectors are means over a table of tokens."""
    modules = sentence_modules(folder)
    return bool(modules) and modules[0].kind == STATIC


def read_static_config(folder: Path) -> dict[str, Any]:
    """What a static model has in the place of a config of transformers: the fields of its own, if it has any."""
    path = folder / "config.json"
    return {**(read_json(path) if path.is_file() else {}), "model_type": MODEL_TYPE, "architectures": None}


def static_load_arguments(folder: Path) -> LoadArguments:
    """How the tokenizer is loaded: as its file says, which may name the most tokens of a text, and nothing else.

    Raises:
        UnsupportedCheckpoint: there is no such file, or it says something of lengths that is not understood.
    """
    path = folder / _TOKENIZER
    if not path.is_file():
        raise UnsupportedCheckpoint(f"{folder} has no tokenizer: a {STATIC} needs {_TOKENIZER}.")
    limits = read_json(path).get("truncation") or {}
    length, side = limits.get("max_length"), str(limits.get("direction") or "right").lower()
    settings = {"truncation_side": side, **({} if length is None else {"model_max_length": length})}
    return LoadArguments(tokenizer=settings, plain=True)


def read_table(weights: Mapping[str, torch.Tensor], folder: Path) -> torch.Tensor:
    """A row for each token id, float32 (tokens, dimensions): model2vec's rows, of which several tokens may share one,
    each times the token's weight.

    Raises:
        UnsupportedCheckpoint: there is no such table, it holds no floats, or what goes with it does not fit.
    """
    import torch

    table = weights.get(_OF_LIBRARY, weights.get(_OF_MODEL2VEC))
    if table is None or table.ndim != 2:
        raise UnsupportedCheckpoint(
            f"The weights of {folder} have no table {_OF_LIBRARY!r} or {_OF_MODEL2VEC!r}, but: "
            f"{', '.join(sorted(weights)) or 'nothing'}."
        )
    if not table.is_floating_point():
        raise UnsupportedCheckpoint(
            f"{folder} holds a table of {str(table.dtype).removeprefix('torch.')} without what its numbers stand for; "
            f"{STATIC} cannot compute with it. Save the model with floats, and let onnxpress quantize it."
        )
    if _OF_LIBRARY in weights:
        return table.float()
    if (places := weights.get(_PLACES)) is not None:
        places = places.long()
        if places.ndim != 1 or not bool(((places >= 0) & (places < len(table))).all()):
            raise UnsupportedCheckpoint(f"{folder}: {_PLACES!r} names rows that its table does not have.")
        table = table[places]
    if (factors := weights.get(_WEIGHTS)) is not None:
        if factors.shape != table.shape[:1]:
            raise UnsupportedCheckpoint(f"{folder}: {tuple(factors.shape)} {_WEIGHTS} for {len(table)} tokens.")
        # Rounded as they are stored, which is what the library computes with.
        wide = table.to(torch.promote_types(table.dtype, torch.float32))
        table = (wide * factors[:, None]).to(table.dtype)
    return table.float().contiguous()


def load_plain_tokenizer(folder: Path, settings: Mapping[str, Any]) -> Any:
    """The tokenizer of a file alone, as one of transformers that puts nothing around a text.

    Raises:
        UnsupportedCheckpoint: the file is none.
    """
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    path = folder / _TOKENIZER
    try:
        rust = Tokenizer.from_str(_without_template(path))
        rust.no_padding()
        rust.no_truncation()
        return PreTrainedTokenizerFast(tokenizer_object=rust, **settings)  # type: ignore[no-untyped-call]
    except Exception as error:
        raise UnsupportedCheckpoint(f"{path} cannot be opened as a tokenizer: {error}.") from error


def _without_template(path: Path) -> str:
    """A tokenizer's content without what puts tokens around a text."""
    import json

    return json.dumps({**read_json(path), "post_processor": None})
