"""Advice on everyday work: an action, an object and a circumstance, each said in several ways.

The meaning is the triple; queries, paraphrases and documents are surfaces of it. It serves the
embedder and the reranker. Triples of the held-out side never occur in training. It knows neither
scores nor vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from grammars.core import Split, articles, is_heldout, sentence, words

# Each row: synonyms of one meaning; verbs as "base/-ing form".
_ACTIONS = tuple(
    tuple(tuple(form.split("/")) for form in row.split(", "))
    for row in """
repair/repairing, fix/fixing, mend/mending
clean/cleaning, wash/washing, scrub/scrubbing
buy/buying, purchase/purchasing, shop for/shopping for
sell/selling, find a buyer for/finding a buyer for
store/storing, stash/stashing, put away/putting away
paint/painting, put colour on/putting colour on
measure/measuring, take the size of/taking the size of
move/moving, transport/transporting, relocate/relocating
choose/choosing, pick/picking, select/selecting
replace/replacing, swap/swapping, exchange/exchanging
build/building, construct/constructing, put together/putting together
protect/protecting, guard/guarding, keep safe/keeping safe
rent/renting, hire/hiring
decorate/decorating, adorn/adorning, embellish/embellishing
photograph/photographing, take pictures of/taking pictures of
insure/insuring, get insurance for/getting insurance for
draw/drawing, sketch/sketching
recycle/recycling, dispose of/disposing of, throw out/throwing out
heat/heating, warm up/warming up
hide/hiding, conceal/concealing
inspect/inspecting, examine/examining, check/checking
label/labelling, tag/tagging
polish/polishing, shine/shining
lend/lending, give someone the use of/giving someone the use of
describe/describing, write about/writing about
""".strip().splitlines()
)
_OBJECTS = tuple(
    tuple(row.split(", "))
    for row in """
bicycle, bike
sofa, couch
car, automobile
laptop, notebook computer
television, TV set
refrigerator, fridge
garden, backyard
photo album, picture book
tent, camping shelter
suitcase, travel bag
mobile phone, smartphone
jacket, coat
carpet, rug
boat, small ship
guitar, string instrument
roof, top of the house
window, glass pane
wardrobe, closet
painting, framed canvas
clock, timepiece
oven, kitchen stove
lamp, light fixture
bookshelf, bookcase
swimming pool, backyard pool
fence, wooden barrier
mattress, bed cushion
motorcycle, motorbike
washing machine, laundry machine
necklace, jewellery chain
greenhouse, glasshouse
birdcage, cage for a parrot
staircase, flight of stairs
mirror, looking glass
chimney, smoke stack
door lock, latch
drone, quadcopter
telescope, stargazing instrument
pair of shoes, pair of boots
chess set, board game
tractor, farm vehicle
""".strip().splitlines()
)
_CIRCUMSTANCES = tuple(
    tuple(row.split(", "))
    for row in """
in winter, during the cold months, when it snows
in summer, during the hot season, when the sun burns
on a small budget, without spending much money, cheaply
for beginners, without any experience, if you are new to it
quickly, in a hurry, within a few minutes
at home, without leaving the house, indoors
without tools, with bare hands
with children, together with your kids
alone, by yourself, without a helper
at night, after dark
abroad, in a foreign country
on holiday, during your vacation
in the rain, when it is wet outside
as a gift, for a birthday
for school, as a class project
online, over the internet
with old newspapers, using waste paper
in the countryside, far from the city
like a professional, the way experts do it
before a wedding, ahead of a big party
""".strip().splitlines()
)
_QUERIES = (
    "how to {v} a(n) {o} {c}", "{v} {o} {c}", "best way to {v} a(n) {o} {c}", "{g} a(n) {o} {c}",
    "I want to {v} my {o} {c}", "how do I {v} my {o} {c}?", "tips for {g} a(n) {o} {c}",
    "what is the best way of {g} a(n) {o} {c}?", "need help {g} my {o} {c}", "can you {v} a(n) {o} {c}?",
    "{c}: {g} a(n) {o}", "is it possible to {v} a(n) {o} {c}?", "{o}: how to {v} it {c}",
)  # fmt: skip
_DOCUMENTS = (
    "{g} a(n) {o} {c} is easier than most people think",
    "this guide explains how to {v} a(n) {o} {c}",
    "follow these steps if you have to {v} a(n) {o} {c}",
    "many people ask about {g} their {o} {c}",
    "{c}, you can {v} a(n) {o} too",
    "a short course on {g} a(n) {o} {c}",
    "last year we had to {v} our {o} {c}, and we learned a lot",
    "your {o} deserves care: here is how to {v} it {c}",
    "nobody likes {g} a(n) {o}, but {c} it has to be done",
    "our readers tell us how they {v} a(n) {o} {c}",
)
_FILLERS = (
    "it takes about {n} minutes", "a friend may help you", "read the instructions twice",
    "we answer the most common questions", "take a break after {n} minutes", "the result is worth it",
    "be patient", "there are {n} steps in all", "experts agree on this point", "ask your neighbour first",
    "the photos show every step", "it costs less than {n} dollars", "start on a free afternoon",
    "mistakes are part of learning", "write down what you did", "this page was updated last week",
)  # fmt: skip
_NUMBERS = words("five ten twelve fifteen twenty thirty forty")


@dataclass(frozen=True, slots=True)
class Meaning:
    """Indices of an action, an object and a circumstance."""

    action: int
    object: int
    circumstance: int


def meaning(rng: Random, split: Split) -> Meaning:
    """A triple of that side of the split: one in five is held out."""
    while True:
        found = Meaning(rng.randrange(len(_ACTIONS)), rng.randrange(len(_OBJECTS)), rng.randrange(len(_CIRCUMSTANCES)))
        if is_heldout(str(found)) == (split == "heldout"):
            return found


def neighbour(rng: Random, near: Meaning, split: Split, changes: int) -> Meaning:
    """A triple that differs from `near` in exactly that many of its three places."""
    while True:
        other = meaning(rng, split)
        places = rng.sample(("action", "object", "circumstance"), changes)
        found = Meaning(
            other.action if "action" in places else near.action,
            other.object if "object" in places else near.object,
            other.circumstance if "circumstance" in places else near.circumstance,
        )
        if distance(found, near) == changes and is_heldout(str(found)) == (split == "heldout"):
            return found


def distance(left: Meaning, right: Meaning) -> int:
    """In how many places two triples differ."""
    return (left.action != right.action) + (left.object != right.object) + (left.circumstance != right.circumstance)


def query(rng: Random, of: Meaning) -> str:
    """A short search phrase or question."""
    return _surface(rng, of, _QUERIES)


def document(rng: Random, of: Meaning) -> str:
    """One to three sentences, one of which carries the meaning."""
    sentences = [rng.choice(_FILLERS).format(n=rng.choice(_NUMBERS)) for _ in range(rng.randint(0, 2))]
    sentences.insert(rng.randint(0, len(sentences)), _surface(rng, of, _DOCUMENTS))
    return " ".join(sentence(text) + "." for text in sentences)


def _surface(rng: Random, of: Meaning, templates: Sequence[str]) -> str:
    base, ing = rng.choice(_ACTIONS[of.action])
    return articles(
        rng.choice(templates).format(
            v=base, g=ing, o=rng.choice(_OBJECTS[of.object]), c=rng.choice(_CIRCUMSTANCES[of.circumstance])
        )
    )
