"""A checkpoint as the subject of a comparison, where every backend converts it for itself: text and speech generation.

Prompts have an exact number of tokens, by the checkpoint's own tokenizer; recordings are synthesized. The same seed
gives the same ones. Nothing is measured here, and no library of a backend is imported.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator

from onnxpress import InputError
from onnxpress_bench import environments
from onnxpress_bench.backends import BACKENDS, BackendSpec
from onnxpress_bench.comparison import Settings
from onnxpress_bench.inputs import Inputs
from onnxpress_bench.recordings import RATE_HZ, write_recording
from onnxpress_bench.scenarios import SCENARIO_OF
from onnxpress_bench.subject import Subject, Trust, check_installed
from onnxpress_bench.texts import Count, text_of

__all__ = ["SCENARIO_OF", "exact_text", "of_checkpoint"]

#: Of each length: enough to vary, few enough to be gone through whole.
PROMPTS, RECORDINGS, BATCHES = 4, 3, 2

#: What Whisper hears at once. Longer recordings are cut in ways that differ between libraries.
LONGEST_S = 30

#: How many texts are tried for one of exactly so many tokens.
_TRIES = 50


def of_checkpoint(
    folder: Path,
    task: str,
    settings: Settings,
    *,
    backends: Sequence[str] = ("pytorch",),
    prompt_tokens: Sequence[int] = (128,),
    new_tokens: Sequence[int] = (32,),
    audio_s: Sequence[int] = (5,),
    transcript_tokens: int | None = None,
    batches: Sequence[int] = (1, 16),
    beams: Sequence[int] = (1, 4),
    source_tokens: int = 24,
    trust: Trust | None = None,
) -> Subject:
    """A checkpoint in a folder, for a task of SCENARIO_OF.

    Args:
        settings: with `scenarios` of the task's, or of none: cold start, memory and answers alone.
        prompt_tokens, new_tokens: every prompt's length is measured with every number of new tokens.
        audio_s: seconds of each length of recordings, whole, at most 30.
        transcript_tokens: where a transcript is cut; None: where the model's own limit is.
        batches, beams, source_tokens: texts of about so many tokens, so many at once, each with every number of beams.

    Raises:
        InputError: a backend, scenario or length that does not go with the task, or no checkpoint's folder.
        MissingDependency: what measuring needs is not installed.
    """
    config = _read_config(folder)
    if task not in SCENARIO_OF:
        known = " or ".join(SCENARIO_OF)
        raise InputError(f"A checkpoint is measured for {known}, not {task}. Export it and measure the artifact.")
    for name in settings.scenarios:
        if name != SCENARIO_OF[task]:
            raise InputError(f"{task} is measured by the scenario {SCENARIO_OF[task]}, not {name}.")
    for kind in backends:
        _check_kind(kind, task)
    check_installed(("psutil", "torch", "transformers"))
    own: dict[str, Any] = {"revision": None, "model_type": config.get("model_type"), **asdict(trust or Trust())}
    if task == "text-generation":
        inputs = _prompts(folder, settings.seed, prompt_tokens, new_tokens)
        own["context_tokens"] = max(prompt_tokens) + max(new_tokens)
        own["cache_bytes"] = _cache_bytes(config, own["context_tokens"])
    elif task == "translation":
        inputs = _sources(settings.seed, batches, beams, source_tokens, max(new_tokens))
    else:
        inputs = _recordings(settings.seed, audio_s)
        own["transcript_tokens"] = transcript_tokens
    source = str(folder.absolute())
    specs = [
        BackendSpec(
            kind, kind, task, source, settings.threads, settings.device, settings={**own, **BACKENDS[kind].settings}
        )
        for kind in dict.fromkeys(backends)
    ]
    return Subject(task, source, source, None, inputs, tuple(specs), own)


def _read_config(folder: Path) -> Mapping[str, Any]:
    try:
        config: Mapping[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{folder} is no checkpoint's folder: config.json cannot be read ({error}).") from None
    return config


def _cache_bytes(config: Mapping[str, Any], tokens: int) -> float | None:
    """Keys and values of so many tokens in float32; None where the config does not say what they are."""
    try:
        heads, layers = config["num_attention_heads"], config["num_hidden_layers"]
        size = config.get("head_dim") or config["hidden_size"] // heads
    except KeyError:
        return None
    return float(2 * 4 * tokens * layers * (config.get("num_key_value_heads") or heads) * size)


def _check_kind(kind: str, task: str) -> None:
    """Only backends that say so take these tasks: no pipeline and no artifact serves them."""
    able = [name for name, row in BACKENDS.items() if task in row.tasks or task in row.by_task]
    if kind not in able:
        raise InputError(f"The backend {kind!r} does not know {task}. These do: {', '.join(able)}.")


def _prompts(folder: Path, seed: int, prompt_tokens: Sequence[int], new_tokens: Sequence[int]) -> Inputs:
    from tokenizers import Tokenizer

    if not prompt_tokens or not new_tokens or min(*prompt_tokens, *new_tokens) < 1:
        raise InputError("Lengths of prompts and of what follows are numbers of tokens, from 1.")
    file = folder / "tokenizer.json"
    if not file.is_file():
        raise InputError(f"{folder} has no tokenizer.json, which prompts of an exact length are made with.")
    tokenizer: Any = Tokenizer.from_file(str(file))

    def count(text: str) -> int:
        return len(tokenizer.encode(text, add_special_tokens=False).ids)

    rng = np.random.default_rng(seed)
    prompts = {str(n): [exact_text(n, count, rng) for _ in range(PROMPTS)] for n in dict.fromkeys(prompt_tokens)}
    shortest, some = prompts[str(min(prompt_tokens))], min(new_tokens)
    compared = [{"prompt": text, "new_tokens": some} for text in shortest]
    return Inputs(
        unit="prompts",
        first={"prompt": shortest[0], "new_tokens": 1},
        shapes={},
        stream=compared,  # what answers are compared on; no scenario of these tasks takes the stream
        stream_tokens=[min(prompt_tokens)] * len(compared),
        uniform=(),
        tokens={},
        parameters={"generation": {"prompts": prompts, "new_tokens": list(dict.fromkeys(new_tokens))}},
    )


def _sources(seed: int, batches: Sequence[int], beams: Sequence[int], words: int, new_tokens: int) -> Inputs:
    if not batches or not beams or min(*batches, *beams, words, new_tokens) < 1:
        raise InputError("Sizes of batches, numbers of beams and lengths are numbers from 1.")
    rng = np.random.default_rng(seed)

    def texts(rows: int) -> list[str]:
        return [text_of(words, lambda text: len(text.split()), rng) for _ in range(rows)]

    made = {str(rows): [texts(rows) for _ in range(BATCHES)] for rows in dict.fromkeys(batches)}
    compared = [
        {"texts": batch, "beams": number, "new_tokens": new_tokens}
        for batch in made[str(min(batches))]
        for number in dict.fromkeys(beams)
    ]
    return Inputs(
        unit="texts",
        first={"texts": made[str(min(batches))][0], "beams": 1, "new_tokens": 1},
        shapes={},
        stream=compared,  # as above
        stream_tokens=[0] * len(compared),
        uniform=(),
        tokens={},
        parameters={"translation": {"batches": made, "beams": list(dict.fromkeys(beams)), "new_tokens": new_tokens}},
    )


def exact_text(tokens: int, count: Count, rng: Generator) -> str:
    """A text of exactly `tokens` tokens: sentences, the last cut where it fits, within a word if need be.

    Raises:
        InputError: none was found.
    """
    for _ in range(_TRIES):
        text = text_of(tokens + 1, count, rng)
        while text and count(text) > tokens:
            text = text[:-1]
        if count(text) == tokens and text == text.strip():
            return text
    raise InputError(f"No text of exactly {tokens} tokens was found with this tokenizer. Choose another length.")


def _recordings(seed: int, audio_s: Sequence[int]) -> Inputs:
    if not audio_s or not all(1 <= seconds <= LONGEST_S for seconds in audio_s):
        raise InputError(f"Lengths of recordings are whole seconds, from 1 to {LONGEST_S}.")
    store = environments.home() / "recordings"
    made = {
        str(seconds): [_recording(store, seconds, seed + index) for index in range(RECORDINGS)]
        for seconds in dict.fromkeys(audio_s)
    }
    compared = [item for items in made.values() for item in items]
    return Inputs(
        unit="recordings",
        first=compared[0],
        shapes={},
        stream=compared,  # as above
        stream_tokens=[0] * len(compared),
        uniform=(),
        tokens={},
        parameters={"audio": {"recordings": made}},
    )


def _recording(store: Path, seconds: int, seed: int) -> dict[str, Any]:
    return {"audio": str(write_recording(store, seconds, seed)), "rate_hz": RATE_HZ}
