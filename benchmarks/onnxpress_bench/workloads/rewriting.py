"""Batches of texts that an encoder-decoder rewrites: translation, summarization and their like.

An item is {"texts": [...], "beams": k, "new_tokens": n}: so many texts at once, exactly so many tokens for each, by
beam search, or greedily with one beam. Its answer is {"ids": [[...], ...]}.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from onnxpress_bench.texts import text_of
from onnxpress_bench.workloads import Inputs, Model, Sizes
from onnxpress_bench.workloads.prompts import read_config

if TYPE_CHECKING:
    from onnxpress_bench.backends import Rewrites
    from onnxpress_bench.comparison import Settings

#: Of each size.
BATCHES = 2


def answer(backend: Rewrites, items: Sequence[Any]) -> Sequence[Any]:
    """One batch of texts after the other."""
    return [{"ids": backend.rewrite(item["texts"], item["beams"], item["new_tokens"])} for item in items]


def make_inputs(model: Model, settings: Settings, sizes: Sizes) -> Inputs:
    """Batches of each size.

    Raises:
        InputError: a size that is none, or more tokens than the model has room for.
    """
    import numpy as np

    from onnxpress.errors import InputError

    new_tokens = max(sizes.new_tokens)
    if not sizes.batches or not sizes.beams or min(*sizes.batches, *sizes.beams, sizes.source_tokens, new_tokens) < 1:
        raise InputError("Sizes of batches, numbers of beams and lengths are numbers from 1.")
    room = read_config(model.folder).get("max_position_embeddings")
    if room and new_tokens >= room:
        raise InputError(f"{new_tokens} new tokens are more than this model's {room}. Name less with --new-tokens.")
    rng = np.random.default_rng(settings.seed)

    def texts(rows: int) -> list[str]:
        return [text_of(sizes.source_tokens, lambda text: len(text.split()), rng) for _ in range(rows)]

    batches = {str(rows): [texts(rows) for _ in range(BATCHES)] for rows in dict.fromkeys(sizes.batches)}
    beams, smallest = list(dict.fromkeys(sizes.beams)), batches[str(min(sizes.batches))]
    return Inputs(
        unit="texts",
        first={"texts": smallest[0], "beams": 1, "new_tokens": 1},
        stream=[{"texts": texts, "beams": k, "new_tokens": new_tokens} for texts in smallest for k in beams],
        parameters={"translation": {"batches": batches, "beams": beams, "new_tokens": new_tokens}},
    )
