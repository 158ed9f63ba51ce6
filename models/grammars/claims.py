"""Claims about a text's topic, for natural language inference and zero-shot classification.

A claim follows from the text, contradicts it, or says something that the text does not tell. It knows nothing of
models.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from grammars.core import Split
from grammars.names import names
from grammars.topics import TOPICS, topical

LABELS = ("entailment", "neutral", "contradiction")

_ABOUT = (
    "This example is {}.", "This text is about {}.", "This example is about {}.", "The topic is {}.",
    "It is about {}.", "The subject of this text is {}.", "This is {}.",
)  # fmt: skip
_NOT_ABOUT = ("This text is not about {}.", "It is not about {}.", "The topic is not {}.", "This is not {}.")
_UNTOLD = (
    "{name} is happy.", "{name} is married.", "{name} lost a key.", "{name} speaks French.", "{name} was born in May.",
    "The author is famous.", "The author lives in {town}.", "It was written in {town}.", "It was written on a Monday.",
    "The author is {name}.", "{name} has read this text.", "The text was translated.",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Claim:
    premise: str
    hypothesis: str
    label: str
    topics: tuple[str, str | None]  # of the premise, and the one that the hypothesis names


def claim(rng: Random, split: Split) -> Claim:
    """A text on one topic and a claim; the three labels are about equally frequent."""
    text = topical(rng, split, 1)
    told = text.topics[0]
    if rng.random() < 0.3:
        known = names(split)
        untold = rng.choice(_UNTOLD).format(name=rng.choice(known.given), town=rng.choice(known.cities))
        return Claim(text.text, untold, "neutral", (told, None))
    named = told if rng.random() < 0.5 else rng.choice([topic for topic in TOPICS if topic != told])
    positive = rng.random() < 0.75
    hypothesis = rng.choice(_ABOUT if positive else _NOT_ABOUT).format(named)
    label = "entailment" if (named == told) == positive else "contradiction"
    return Claim(text.text, hypothesis, label, (told, named))
