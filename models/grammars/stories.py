"""Short news stories, and the headline that says what happened: who did what to which thing in which town.

What happened is told in one sentence or in two, among sentences that name other people and other towns, so that no
place in the text gives it away. The names of the held-out side never occur in training. It knows nothing of models.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from grammars.core import Split, articles, invented, sentence, words
from grammars.names import names

# In headlines, and as it was done.
_DEEDS = dict(
    form.split("/")
    for form in words(
        """opens/opened closes/closed sells/sold buys/bought repairs/repaired paints/painted inspects/inspected
        saves/saved builds/built designs/designed cleans/cleaned rents/rented"""
    )
)
_THINGS = words("""museum school hospital bakery library theatre bridge tower factory hotel harbour market station
    stadium castle garden mill church""")
_KINDS = words("old new small large famous wooden public former")
_JOBS = words("""teacher doctor pilot baker painter lawyer farmer nurse chemist singer carpenter tailor gardener
    journalist architect engineer judge""")
_WHEN = words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
_TOLD = (
    "On {day}, {job} {who} {did} the {kind} {thing} in {town}.",
    "{who}, a(n) {job}, {did} the {kind} {thing} in {town} on {day}.",
    "{job} {who} {did} the {kind} {thing} in {town}.",
    "The {kind} {thing} in {town} was {did} by {who} on {day}.",
    "The {kind} {thing} in {town} was {did} on {day}. It was the {job} {who} who did it.",
    "There is news from {town}. The {kind} {thing} was {did} by {job} {who}.",
    "{who} was in {town} on {day}. There the {job} {did} the {kind} {thing}.",
    "People in {town} talk about {who}. On {day}, the {job} {did} the {kind} {thing}.",
)
_AROUND = (
    '"We are glad," said {other}, a(n) {other_job} from {elsewhere}.',
    "{other} came from {elsewhere} to see it.",
    "The mayor of {elsewhere}, {other}, did not answer questions.",
    "{other}, who lives in {elsewhere}, was surprised.",
    "It rained all day.",
    "Nobody was hurt.",
    "About {number} people watched.",
    "There was music until midnight.",
    "The people of {elsewhere} want the same.",
    "It had taken {number} weeks.",
    "Trains to {elsewhere} were late.",
    "{other} wrote a letter about it.",
    "The {other_job} {other} took photographs.",
)
_NUMBERS = words("ten twelve twenty thirty forty fifty")


@dataclass(frozen=True, slots=True)
class Story:
    text: str
    headline: str


def story(rng: Random, split: Split) -> Story:
    """Three to five sentences or so, and the headline."""
    does, did = rng.choice(tuple(_DEEDS.items()))
    who, *others = _people(rng, split, 4)
    town, *elsewhere = _towns(rng, split, 4)
    kind, thing = rng.choice(_KINDS), rng.choice(_THINGS)
    told = rng.choice(_TOLD).format(
        who=who, job=rng.choice(_JOBS), did=did, kind=kind, thing=thing, town=town, day=rng.choice(_WHEN)
    )
    around = [
        form.format(other=other, other_job=rng.choice(_JOBS), elsewhere=place, number=rng.choice(_NUMBERS))
        for form, other, place in zip(rng.sample(_AROUND, rng.choice((1, 2, 2, 3))), others, elsewhere, strict=False)
    ]
    around.insert(rng.choice((0, 0, 0, 1)), told)
    return Story(" ".join(sentence(articles(text)) for text in around), f"{who} {does} {kind} {thing} in {town}.")


def _people(rng: Random, split: Split, count: int) -> list[str]:
    known = names(split)
    return [f"{_new(rng, split, known.given)} {_new(rng, split, known.surnames)}" for _ in range(count)]


def _towns(rng: Random, split: Split, count: int) -> list[str]:
    cities = names(split).cities
    return [_new(rng, split, cities) for _ in range(count)]


def _new(rng: Random, split: Split, known: tuple[str, ...]) -> str:
    """A name, in training often one that does not exist, so that names are copied and not guessed."""
    return invented(rng).capitalize() if split == "train" and rng.random() < 0.3 else rng.choice(known)
