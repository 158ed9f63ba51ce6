"""Texts for encoders: the items of a task, the same for every backend, from the artifact's tokenizer and a seed.

An item is what the task's pipeline takes, as plain JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxpress_bench.texts import QUESTIONS, Count, text_of
from onnxpress_bench.workloads import Inputs, Model, Sizes
from onnxpress_bench.workloads.encoding import answer

if TYPE_CHECKING:
    from numpy.random import Generator

    from onnxpress import Artifact
    from onnxpress.format.processors import TokenizerSettings
    from onnxpress_bench.comparison import Settings

__all__ = ["LENGTHS", "OPTIONS", "answer", "make_inputs", "make_texts", "parse_shape"]

#: Queries of a shape: enough to vary, few enough to be gone through whole.
QUERIES_ALONE = 12
QUERIES_TOGETHER = 3

#: Tokens of each text of the offline scenario.
UNIFORM_TOKENS = 128
STREAM_ITEMS = 512

#: Distributions of lengths that --lengths knows: median tokens and sigma of a log-normal. "mixed" has many short texts
#: and a long tail (mean 40 tokens, 95% under 120), as sentences, comments and messages have; "queries" are what people
#: type into a search box; "documents" are passages and mails.
LENGTHS: Mapping[str, tuple[float, float]] = {"mixed": (27.0, 0.9), "queries": (9.0, 0.45), "documents": (160.0, 0.6)}

DOCUMENTS_PER_QUERY = CHOICES_PER_PROMPT = 4

LABELS = ("business", "travel", "complaint")

#: task -> arguments of the call, for every backend.
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "feature-extraction": {"return_tensors": "np"},
    "text-classification": {"top_k": None},
    "token-classification": {"aggregation_strategy": "simple"},
    "zero-shot-classification": {"candidate_labels": list(LABELS)},
}

#: Of a query, and of what a choice goes on from.
QUERY_TOKENS = 12

#: Tasks whose texts stand beside a drawn one of QUERY_TOKENS -> what their items are called.
_QUERIED: Mapping[str, str] = {"multiple-choice": "prompts", "text-ranking": "queries"}

#: task -> the longest text that it puts beside one of ours: a question, a query or a hypothesis.
_BESIDE: Mapping[str, Sequence[str]] = {
    "question-answering": QUESTIONS,
    "zero-shot-classification": [f"This example is {label}." for label in LABELS],
}


#: Tokens of the pieces of a very long text.
_PIECE_TOKENS = 400


def make_inputs(model: Model, settings: Settings, sizes: Sizes) -> Inputs:
    """In the shapes and lengths of the settings."""
    assert model.artifact is not None
    inputs = make_texts(model.artifact, settings.seed, settings.shapes, settings.lengths)
    load = {name: {**some, "seed": settings.seed} for name, some in sizes.load.items()}
    if "neighbours" in load:
        load["neighbours"] |= _neighbours(model.artifact, **load["neighbours"])
    return replace(inputs, parameters={**inputs.parameters, **load})


def _neighbours(
    artifact: Artifact, *, short_tokens: int, long_tokens: int, seed: int, **_: float
) -> dict[str, list[str]]:
    """Short texts, and long ones of pieces: to find a long text's length word by word takes minutes."""
    import numpy as np

    from onnxpress.text.opening import open_tokenizer

    tokenizer, rng = open_tokenizer(artifact), np.random.default_rng(seed)
    assert tokenizer is not None

    def text(tokens: int) -> str:
        return text_of(tokens, lambda words: len(tokenizer.encode(words).ids), rng)

    pieces = range(max(1, long_tokens // _PIECE_TOKENS))
    return {
        "short": [text(short_tokens) for _ in range(QUERIES_ALONE)],
        "long": [" ".join(text(min(long_tokens, _PIECE_TOKENS)) for _ in pieces) for _ in range(2)],
    }


def make_texts(
    artifact: Artifact, seed: int, shapes: Sequence[str] = ("1x16", "1x128"), lengths: str = "mixed"
) -> Inputs:
    """The items for an artifact's task; the same seed and tokenizer give the same ones.

    Args:
        lengths: a row of LENGTHS, or a file: of texts, one a line, which are the stream then; or of numbers of tokens.

    Raises:
        InputError: the artifact's task is not one of text, or shapes or lengths cannot be read.
    """
    import numpy as np

    from onnxpress.errors import InputError
    from onnxpress.text.opening import open_tokenizer

    task, text_settings = artifact.manifest.task, artifact.manifest.tokenizer
    tokenizer = open_tokenizer(artifact)
    if text_settings is None or tokenizer is None:
        raise InputError(f"{artifact.folder}: {task} takes no text; this version measures text models only.")

    def count(text: str) -> int:
        return len(tokenizer.encode(text).ids)

    embedding = artifact.manifest.postprocessing.embedding
    limits = [n for n in (text_settings.max_length, embedding and embedding.max_length) if n]
    beside = QUERY_TOKENS if task in _QUERIED else max(map(count, _BESIDE.get(task, ())), default=0)
    limit = max(4, min(limits, default=1_000_000) - beside)
    rng = np.random.default_rng(seed)
    item_of = partial(_ITEMS.get(task, _plain), settings=text_settings, count=count, rng=rng)
    queries = {}
    for name in shapes:
        rows, tokens = parse_shape(name)
        number = QUERIES_ALONE if rows == 1 else QUERIES_TOGETHER
        queries[name] = [[item_of(min(tokens, limit)) for _ in range(rows)] for _ in range(number)]
    uniform = [item_of(min(UNIFORM_TOKENS, limit)) for _ in range(STREAM_ITEMS // 8)]
    drawn = _stream(lengths, limit, rng)
    if drawn and isinstance(drawn[0], str) and task in _ITEMS:
        raise InputError(f"--lengths {lengths}: {task} does not take plain texts; give numbers of tokens, one a line.")
    stream = [text if isinstance(text, str) else item_of(text) for text in drawn]
    counted = {name: [count(_text(item)) for query in some for item in query] for name, some in queries.items()}
    stream_tokens = [min(count(_text(item)), limit) for item in stream]
    counted |= {"stream": stream_tokens, "uniform": [count(_text(item)) for item in uniform]}
    return Inputs(
        unit=_QUERIED.get(task, "texts"),
        first=next((query[0][0] for query in queries.values()), stream[0]),
        shapes=queries,
        stream=stream,
        stream_tokens=stream_tokens,
        uniform=uniform,
        tokens={name: float(np.mean(some)) for name, some in counted.items()},
    )


def parse_shape(name: str) -> tuple[int, int]:
    """Rows and tokens of "8x128".

    Raises:
        InputError: not a shape.
    """
    from onnxpress.errors import InputError

    rows, _, tokens = name.partition("x")
    if not (rows.isdecimal() and tokens.isdecimal() and int(rows) and int(tokens) > 3):
        raise InputError(f"{name!r} is not a shape. Write ROWSxTOKENS, for instance 8x128, with at least 4 tokens.")
    return int(rows), int(tokens)


def _stream(lengths: str, limit: int, rng: Generator) -> list[int] | list[str]:
    """Tokens of each text of the stream, or the user's own texts."""
    import numpy as np

    from onnxpress.errors import InputError

    if lengths in LENGTHS:
        median, sigma = LENGTHS[lengths]
        drawn = rng.lognormal(np.log(median), sigma, STREAM_ITEMS)
        tokens: list[int] = np.clip(np.rint(drawn), 4, limit).astype(int).tolist()
        return tokens
    path = Path(lengths)
    if not path.is_file():
        raise InputError(f"--lengths {lengths}: neither a file nor one of {', '.join(LENGTHS)}.")
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not lines:
        raise InputError(f"--lengths {lengths}: the file is empty. Write one text, or one number of tokens, a line.")
    if all(line.strip().isdecimal() for line in lines):
        return [min(max(int(line), 4), limit) for line in lines]
    return lines


def _plain(tokens: int, *, settings: TokenizerSettings, count: Count, rng: Generator) -> str:
    return text_of(tokens, count, rng)


def _masked(tokens: int, *, settings: TokenizerSettings, count: Count, rng: Generator) -> str:
    from onnxpress.errors import InputError

    if "mask" not in settings.special_tokens:
        raise InputError("The artifact's tokenizer has no mask token, so fill-mask cannot be measured. Export again.")
    words = text_of(max(tokens - 1, 4), count, rng).split()
    words[int(rng.integers(len(words)))] = settings.special_tokens["mask"].text
    return " ".join(words)


def _question(tokens: int, *, settings: TokenizerSettings, count: Count, rng: Generator) -> dict[str, str]:
    return {"question": QUESTIONS[int(rng.integers(len(QUESTIONS)))], "context": text_of(tokens, count, rng)}


def _query(tokens: int, *, settings: TokenizerSettings, count: Count, rng: Generator) -> dict[str, Any]:
    documents = [text_of(tokens, count, rng) for _ in range(DOCUMENTS_PER_QUERY)]
    return {"query": text_of(QUERY_TOKENS, count, rng), "documents": documents}


def _prompt(tokens: int, *, settings: TokenizerSettings, count: Count, rng: Generator) -> dict[str, Any]:
    choices = [text_of(tokens, count, rng) for _ in range(CHOICES_PER_PROMPT)]
    return {"prompt": text_of(QUERY_TOKENS, count, rng), "choices": choices}


_ITEMS: Mapping[str, Callable[..., Any]] = {
    "fill-mask": _masked,
    "multiple-choice": _prompt,
    "question-answering": _question,
    "text-ranking": _query,
}


def _text(item: Any) -> str:
    """The text whose length was chosen."""
    if isinstance(item, str):
        return item
    return str(next(item[name] if name == "context" else item[name][0] for name in _LONG if name in item))


#: Fields that hold the texts whose length was chosen.
_LONG = ("context", "documents", "choices")
