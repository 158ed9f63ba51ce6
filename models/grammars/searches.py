"""Searches for texts on a topic, and texts to be found: what a cross-encoder ranks.

A search names the topic or some of its nouns; the text may use other nouns of the same topic. It knows nothing of
models.
"""

from __future__ import annotations

from random import Random

from grammars.core import Split
from grammars.topics import TOPICS, nouns, topical

_FORMS = (
    "{noun}",
    "about {noun}",
    "texts on {topic}",
    "what is said about the {noun}?",
    "{topic}",
    "find something on {topic}",
    "any news of the {noun}?",
    "the {noun} and the {other}",
    "{topic}: {noun}",
)


def search(rng: Random, topic: str) -> str:
    """A short query for texts on `topic`."""
    noun, other = rng.sample(nouns(topic), 2)
    return rng.choice(_FORMS).format(noun=noun, other=other, topic=topic)


def library(rng: Random, split: Split, count: int) -> dict[str, list[str]]:
    """`count` texts on one topic each, by topic."""
    found: dict[str, list[str]] = {topic: [] for topic in TOPICS}
    for _ in range(count):
        text = topical(rng, split, 1)
        found[text.topics[0]].append(text.text)
    return found
