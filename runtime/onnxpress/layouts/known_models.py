"""Well-known models whose vectors are made in one way, for folders that lack the files that would say it.

fastembed's folders have none: its registry is in Python. The rows say what that registry says, and for others what the
checkpoints' sentence-transformers files say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from onnxpress.layouts.card import BASE_MODEL, read_card
from onnxpress.layouts.files import Files

#: What the tools put before a model's name.
_PREFIXES = re.compile(r"(?:fast-)?")


@dataclass(frozen=True, slots=True)
class KnownModel:
    """Models whose name begins as `name` says. `pooling`: of the states of tokens; `normalize`: to length 1."""

    name: re.Pattern[str]
    pooling: str
    normalize: bool


#: The first that fits counts.
_ROWS = tuple(
    KnownModel(re.compile(name), pooling, normalize)
    for name, pooling, normalize in (
        (r"bge-", "cls", True),
        (r"snowflake-arctic-embed-", "cls", True),
        (r"mxbai-embed-", "cls", True),
        (r"gte-(small|base|large)-(en|zh)?-?v1\.5", "cls", True),
        (r"gte-(small|base|large)", "mean", True),
        (r"(multilingual-)?e5-(small|base|large)", "mean", True),
        (r"all-(minilm|mpnet|distilroberta|roberta)", "mean", True),
        (r"multi-qa-.*-cos", "mean", True),
        (r"multi-qa-.*-dot", "cls", False),
        (r"paraphrase-", "mean", False),
        (r"nomic-embed-text-", "mean", False),
        (r"jina-embeddings-v2-", "mean", True),
        (r"qwen3-embedding-", "lasttoken", True),
    )
)


def known_model(files: Files, config: Mapping[str, Any]) -> tuple[KnownModel, str] | None:
    """The row of a model, and the name that says so; None: it has none.

    Asked are the repository's name, the folder's, the card's `base_model`, and the name in config.json.
    """
    for name in _names_of(files, config):
        short = _PREFIXES.sub("", name.rpartition("/")[2].lower(), count=1)
        row = next((row for row in _ROWS if row.name.match(short)), None)
        if row is not None:
            return row, name
    return None


def _names_of(files: Files, config: Mapping[str, Any]) -> Iterator[str]:
    yield files.source
    if files.source != files.folder.name:
        yield files.folder.name
    yield from read_card(files).values(BASE_MODEL)
    name = config.get("_name_or_path")
    if isinstance(name, str):
        yield name
