"""What a variant's answers have to reach: a table, by precision and figure. Pure.

Figures are those of `quality`, and what is lost of the task's own metric (`evaluation.metrics`). The defaults are what
a search or a classifier built on the original would not notice: a user may set his own for any of them.
"""

from __future__ import annotations

from collections.abc import Mapping

from onnxpress.errors import InputError
from onnxpress_exporter.judging.metrics import LOSS, METRICS

Thresholds = Mapping[str, float]

#: What may be lost of each metric on labelled data.
_LOSSES = tuple(f"{name}{LOSS}" for name in METRICS)

#: Figures that are better the smaller they are; all others, the larger.
SMALLER_IS_BETTER = frozenset(
    {
        *("largest score difference", "word error", "batch cosine distance", "batch disagreement"),
        *("perplexity ratio", "divergence"),
        *_LOSSES,
    }
)

#: The same text gives the same answer alone and in a batch, at every precision.
_SAME = {"batch cosine distance": 1e-5, "batch disagreement": 0.0}

#: Of models that write text, by bits. A table of its own, so that they stand side by side: "divergence" is in nats, and
#: what is "untrained" has no preferences that could be kept, and errors grow from layer to layer: with 4 bits 24 layers
#: of random weights kept 0.33, where a broken graph has 0.
_WRITING: Mapping[int, Thresholds] = {
    16: {
        "next-token agreement": 0.985,
        "among the reference's first 5": 0.999,
        "perplexity ratio": 1.005,
        "divergence": 0.002,
        "scores' correlation": 0.999,
        "scores' correlation, untrained": 0.95,
    },
    8: {
        "next-token agreement": 0.96,
        "among the reference's first 5": 0.995,
        "perplexity ratio": 1.01,
        "divergence": 0.01,
        "scores' correlation": 0.998,
        "scores' correlation, untrained": 0.9,
    },
    4: {
        "next-token agreement": 0.7,
        "among the reference's first 5": 0.96,
        "perplexity ratio": 1.15,
        "divergence": 0.15,
        "scores' correlation": 0.95,
        "scores' correlation, untrained": 0.1,
    },
}

_EIGHT_BITS: Thresholds = {
    "cosine, mean": 0.999,
    "cosine, worst": 0.997,
    "neighbour overlap": 0.97,
    "label agreement": 0.98,
    "span agreement": 0.95,
    "top token agreement": 0.95,
    "pairs in order": 0.97,
    "largest score difference": 0.15,
    **dict.fromkeys(_LOSSES, 0.005),
    **_SAME,
    **_WRITING[8],
}

_FOUR_BITS: Thresholds = {
    **_EIGHT_BITS,
    "cosine, mean": 0.985,
    "cosine, worst": 0.95,
    "neighbour overlap": 0.85,
    "label agreement": 0.95,
    "span agreement": 0.85,
    "top token agreement": 0.85,
    "pairs in order": 0.92,
    "largest score difference": 0.3,
    **dict.fromkeys(_LOSSES, 0.02),
    **_WRITING[4],
}

THRESHOLDS: Mapping[str, Thresholds] = {
    "fp16": {**_EIGHT_BITS, "cosine, mean": 0.9999, "cosine, worst": 0.999, "label agreement": 0.99, **_WRITING[16]},
    "int8": _EIGHT_BITS,
    "q8": _EIGHT_BITS,
    "q4": _FOUR_BITS,
    "q4f16": _FOUR_BITS,
}


def misses(figures: Mapping[str, float], thresholds: Thresholds) -> tuple[str, ...]:
    """Figures beyond their thresholds, as text; NaN is beyond every one."""
    found = []
    for name, value in figures.items():
        if name not in thresholds:
            continue
        limit = thresholds[name]
        smaller = name in SMALLER_IS_BETTER
        if not (value <= limit if smaller else value >= limit):
            found.append(f"{name} {value:.6g}, {'at most' if smaller else 'at least'} {limit:g} is needed")
    return tuple(found)


def parse_thresholds(given: Mapping[str, float]) -> Thresholds:
    """A user's own thresholds.

    Raises:
        InputError: there is no such figure.
    """
    known = {name for table in THRESHOLDS.values() for name in table}
    unknown = sorted(set(given) - known)
    if unknown:
        raise InputError(f"There is no threshold {unknown[0]!r}. There are: {', '.join(sorted(known))}.")
    return dict(given)
