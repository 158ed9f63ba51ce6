"""Prompts of an exact number of tokens, by the model's own tokenizer, to be continued.

An item is {"prompt": text, "new_tokens": n}, its answer {"ids": [...]}.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxpress_bench.texts import Count, text_of
from onnxpress_bench.workloads import Inputs, Model, Sizes

if TYPE_CHECKING:
    from numpy.random import Generator

    from onnxpress_bench.backends import Generates
    from onnxpress_bench.comparison import Settings

#: Of each length: enough to vary, few enough to be gone through whole.
PROMPTS = 4

#: How many texts are tried for one of exactly so many tokens.
_TRIES = 50


def answer(backend: Generates, items: Sequence[Any]) -> Sequence[Any]:
    """One prompt after the other."""
    return [{"ids": list(backend.generate(backend.encode(item["prompt"]), item["new_tokens"]))} for item in items]


def make_inputs(model: Model, settings: Settings, sizes: Sizes) -> Inputs:
    """Prompts of each length.

    Raises:
        InputError: a length that is none, that the model has no room for, or that its tokenizer cannot make.
    """
    import numpy as np
    from tokenizers import Tokenizer

    from onnxpress.errors import InputError

    if not sizes.prompt_tokens or not sizes.new_tokens or min(*sizes.prompt_tokens, *sizes.new_tokens) < 1:
        raise InputError("Lengths of prompts and of what follows are numbers of tokens, from 1.")
    file = _tokenizer_file(model)
    if file is None or not file.is_file():
        raise InputError(f"{model.folder} has no tokenizer.json, which prompts of an exact length are made with.")
    tokenizer: Any = Tokenizer.from_file(str(file))

    def count(text: str) -> int:
        return len(tokenizer.encode(text, add_special_tokens=False).ids)

    config = read_config(model.folder)
    most = max(sizes.prompt_tokens) + max(sizes.new_tokens)
    room = config.get("max_position_embeddings") or config.get("n_positions")
    if room and most > room:
        raise InputError(
            f"A prompt of {max(sizes.prompt_tokens)} tokens and {max(sizes.new_tokens)} new ones are {most}, and this "
            f"model has room for {room}. Name less with --prompt-tokens or --new-tokens."
        )
    rng = np.random.default_rng(settings.seed)
    prompts = {str(n): [exact_text(n, count, rng) for _ in range(PROMPTS)] for n in dict.fromkeys(sizes.prompt_tokens)}
    shortest, new_tokens = prompts[str(min(sizes.prompt_tokens))], min(sizes.new_tokens)
    return Inputs(
        unit="prompts",
        first={"prompt": shortest[0], "new_tokens": 1},
        stream=[{"prompt": text, "new_tokens": new_tokens} for text in shortest],  # what answers are compared on
        parameters={
            "generation": {"prompts": prompts, "new_tokens": list(dict.fromkeys(sizes.new_tokens))},
            **{name: {**some, "seed": settings.seed} for name, some in sizes.load.items()},
        },
        settings={"context_tokens": most, "cache_bytes": _cache_bytes(config, most)},
    )


def exact_text(tokens: int, count: Count, rng: Generator) -> str:
    """A text of exactly `tokens` tokens: sentences, the last cut where it fits, within a word if need be.

    Raises:
        InputError: none was found.
    """
    from onnxpress.errors import InputError

    for _ in range(_TRIES):
        text = text_of(tokens + 1, count, rng)
        while text and count(text) > tokens:
            text = text[:-1]
        if count(text) == tokens and text == text.strip():
            return text
    raise InputError(f"No text of exactly {tokens} tokens was found with this tokenizer. Choose another length.")


def read_config(folder: Path) -> Mapping[str, Any]:
    """A model's config.json; empty where there is none that can be read."""
    try:
        config: Mapping[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return config


def _tokenizer_file(model: Model) -> Path | None:
    if model.artifact is None:
        return model.folder / "tokenizer.json"
    settings = model.artifact.manifest.tokenizer
    return None if settings is None else model.artifact.file(settings.file)


def _cache_bytes(config: Mapping[str, Any], tokens: int) -> float | None:
    """Keys and values of so many tokens in float32; None where the config does not say what they are."""
    try:
        heads, layers = config["num_attention_heads"], config["num_hidden_layers"]
        size = config.get("head_dim") or config["hidden_size"] // heads
    except KeyError:
        return None
    return float(2 * 4 * tokens * layers * (config.get("num_key_value_heads") or heads) * size)
