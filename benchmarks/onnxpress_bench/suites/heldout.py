"""Labelled rows for the trained checkpoints of models/: drawn anew from the grammars that made their held-out data.

The seed is none of the training's, and held-out rows are built from words that training never saw. Knows no model.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from random import Random
from types import ModuleType
from typing import Any

from onnxpress_bench.suites import ROOT
from onnxpress_exporter.judging.data import Table, table_of

SEED = 20_261

#: Enough that one row is a small part of half a point.
ROWS = 1000


def heldout_rows(name: str, count: int = ROWS, seed: int = SEED) -> Table:
    """Rows for the checkpoint of that name; the same seed gives the same ones."""
    module, make = _MAKERS[name]
    grammar, rng = _grammar(module), Random(seed)  # noqa: S311 - data, not secrets
    return table_of(f"{name}'s held-out grammar, seed {seed}", [make(grammar, rng) for _ in range(count)])


def _grammar(module: str) -> ModuleType:
    """A module of models/, which is no installed package."""
    folder = str(ROOT / "models")
    sys.path.insert(0, folder)
    try:
        return import_module(f"grammars.{module}")
    finally:
        sys.path.remove(folder)


def _review(grammar: Any, rng: Random) -> dict[str, Any]:
    row = grammar.review(rng, "heldout")
    return {"text": row.text, "label": row.sentiment}


def _news(grammar: Any, rng: Random) -> dict[str, Any]:
    row = grammar.news(rng, "heldout")
    entities = [{"start": entity.start, "end": entity.end, "label": entity.label} for entity in row.entities]
    return {"text": row.text, "entities": entities}


def _question(grammar: Any, rng: Random) -> dict[str, Any]:
    row = grammar.question(rng, "heldout")
    return {"question": row.question, "context": row.context, "answers": {"text": [row.answer] if row.answer else []}}


_MAKERS: Mapping[str, tuple[str, Callable[[Any, Random], dict[str, Any]]]] = {
    "tiny-ner": ("news", _news),
    "tiny-qa": ("biographies", _question),
    "tiny-sentiment": ("reviews", _review),
}
