"""Plain facts in plain sentences: what a fill-mask model can know, with the word that is known.

Every fact is told in several ways; some of the tellings are held out, never the fact itself. The
sentences of the other grammars make up the rest of the corpus. It knows neither tokens nor masks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from random import Random

from grammars import howto
from grammars.core import Split, articles, is_heldout, sentence
from grammars.reviews import review
from grammars.situations import pair
from grammars.topics import topical

COUNTRIES = """
France Paris French Europe|Germany Berlin German Europe|Italy Rome Italian Europe
Spain Madrid Spanish Europe|Portugal Lisbon Portuguese Europe|Austria Vienna German Europe
Poland Warsaw Polish Europe|Greece Athens Greek Europe|Norway Oslo Norwegian Europe
Sweden Stockholm Swedish Europe|Finland Helsinki Finnish Europe|Denmark Copenhagen Danish Europe
Ireland Dublin English Europe|Hungary Budapest Hungarian Europe|Russia Moscow Russian Europe
Ukraine Kyiv Ukrainian Europe|England London English Europe|Japan Tokyo Japanese Asia
China Beijing Chinese Asia|Thailand Bangkok Thai Asia|Vietnam Hanoi Vietnamese Asia
India Delhi Hindi Asia|Iran Tehran Persian Asia|Iraq Baghdad Arabic Asia
Nepal Kathmandu Nepali Asia|Egypt Cairo Arabic Africa|Kenya Nairobi Swahili Africa
Ghana Accra English Africa|Senegal Dakar French Africa|Tunisia Tunis Arabic Africa
Peru Lima Spanish America|Cuba Havana Spanish America|Chile Santiago Spanish America
Canada Ottawa English America|Brazil Brasilia Portuguese America|Colombia Bogota Spanish America
""".strip().replace("\n", "|")
ANIMALS = """
dog puppy barks bones|cat kitten meows mice|cow calf moos grass|sheep lamb bleats grass|horse foal neighs hay
pig piglet grunts roots|lion cub roars meat|bear cub growls honey|duck duckling quacks weeds|hen chick clucks grain
goat kid bleats leaves|wolf cub howls meat|frog tadpole croaks flies|bird chick sings seeds|owl owlet hoots mice
""".strip().replace("\n", "|")
OPPOSITES = """
hot cold|big small|fast slow|high low|old new|early late|light dark|wet dry|rich poor|strong weak|hard soft
long short|full empty|open closed|clean dirty|loud quiet|young old|happy sad|thick thin|near far|left right
true false|deep shallow|sharp blunt|cheap expensive|easy difficult|wide narrow|brave afraid|sweet sour|rough smooth
""".strip().replace("\n", "|")
COLOURS = """
grass green|snow white|coal black|blood red|the sky blue|a lemon yellow|milk white|a carrot orange|an elephant grey
a tomato red|the sea blue|a leaf green|the night black|chocolate brown|salt white|a strawberry red|a banana yellow
""".strip().replace("\n", "|")
WORKERS = """
teacher school teaches children|doctor hospital heals patients|baker bakery bakes bread|farmer farm grows wheat
judge court judges cases|pilot airport flies planes|sailor ship sails ships|chef restaurant cooks meals
librarian library lends books|actor theatre plays roles|tailor workshop sews clothes|miner mine digs coal
butcher shop cuts meat|gardener garden waters flowers|scientist laboratory tests ideas|fisherman lake catches fish
singer stage sings songs|cleaner office cleans floors|soldier army guards borders|mechanic garage repairs cars
""".strip().replace("\n", "|")
CYCLES = (
    "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
    "January February March April May June July August September October November December",
    "spring summer autumn winter",
    "one two three four five six seven eight nine ten eleven twelve",
)
THINGS = """
hear ears|see eyes|smell nose|taste tongue|walk feet|bite teeth|think brain|hold hands
cut knife|write pen|sweep broom|sleep bed|cook stove|read lamp|dig shovel|paint brush|measure ruler|sew needle
""".strip().replace("\n", "|")

# Templates of a row of words; the last number is the place of the word that is known.
_TELLINGS: tuple[tuple[str, tuple[tuple[str, int], ...]], ...] = (
    (
        COUNTRIES,
        (
            ("{1} is the capital of {0}", 1),
            ("the capital of {0} is {1}", 1),
            ("in {0}, people speak {2}", 2),
            ("{1} is a city in {0}", 0),
            ("{0} is a country in {3}", 3),
            ("the people of {0} speak {2}", 2),
            ("the government of {0} sits in {1}", 1),
            ("{0} lies in {3}", 3),
            ("they speak {2} in {1}", 2),
            ("we flew from {1} to the south of {0}", 0),
            ("{1}, the capital of {0}, is in {3}", 3),
            ("{0} has its parliament in {1}", 1),
            ("the largest city of {0} may be {1}", 1),
        ),
    ),
    (
        ANIMALS,
        (
            ("the {0} {2} at night", 2),
            ("a young {0} is called a(n) {1}", 1),
            ("a(n) {1} is a young {0}", 0),
            ("the {0} eats {3}", 3),
            ("every {0} likes {3}", 3),
            ("a(n) {0} {2} when it is hungry", 2),
            ("the {0} and its {1} sleep in the sun", 1),
            ("you can tell a(n) {0} because it {2}", 2),
        ),
    ),
    (
        OPPOSITES,
        (
            ("the opposite of {0} is {1}", 1),
            ("it is not {0}, it is {1}", 1),
            ("{0} is the contrary of {1}", 1),
            ("what is not {0} is {1}", 1),
            ("some are {0} and some are {1}", 1),
            ("one was {0}, the other {1}", 1),
        ),
    ),
    (
        COLOURS,
        (
            ("{0} is {1}", 1),
            ("the colour of {0} is {1}", 1),
            ("{0} looks {1}", 1),
            ("it is as {1} as {0}", 1),
            ("everybody knows that {0} is {1}", 1),
        ),
    ),
    (
        WORKERS,
        (
            ("the {0} works at the {1}", 1),
            ("a(n) {0} {2} {3}", 3),
            ("the {0} {2} {3} every day", 3),
            ("the {0} went to the {1}", 1),
            ("at the {1}, a(n) {0} {2} {3}", 0),
            ("my father is a(n) {0} and {2} {3}", 3),
            ("you will find the {0} in the {1}", 1),
        ),
    ),
    (
        THINGS,
        (
            ("you {0} with your {1}", 1),
            ("to {0}, you need your {1}", 1),
            ("we {0} with our {1}", 1),
            ("use the {1} to {0}", 1),
            ("without {1} nobody can {0}", 1),
        ),
    ),
)
_NEXT = (
    ("after {0} comes {1}", 1),
    ("{0} is followed by {1}", 1),
    ("before {1} comes {0}", 0),
    ("first {0}, then {1}", 1),
    ("{0} comes right before {1}", 1),
)


@dataclass(frozen=True, slots=True)
class Fact:
    """A sentence and where its known word stands; `start` counts characters."""

    text: str
    word: str
    start: int


def fact(rng: Random, split: Split) -> Fact:
    """A fact in one of its tellings; one telling in eight is held out."""
    while True:
        words, template, place = _draw(rng)
        if is_heldout(f"{template}/{words}", 8) == (split == "heldout"):
            return _tell(words, template, place)


def _draw(rng: Random) -> tuple[list[str], str, int]:
    if rng.random() < 0.12:
        cycle = rng.choice(CYCLES).split()
        at = rng.randrange(len(cycle) - 1)
        template, place = rng.choice(_NEXT)
        return cycle[at : at + 2], template, place
    table, tellings = rng.choice(_TELLINGS)
    row = rng.choice(rows(table))
    template, place = rng.choice(tellings)
    return list(row), template, place


@cache
def rows(table: str) -> tuple[tuple[str, ...], ...]:
    """The words of each row of one of the tables above; only what has a colour is named by several words."""
    split = (row.rsplit(" ", 1) if table is COLOURS else row.split() for row in table.split("|"))
    return tuple(map(tuple, split))


def _tell(words: list[str], template: str, place: int) -> Fact:
    filled = [f"\0{word}\0" if index == place else word for index, word in enumerate(words)]
    text = sentence(articles(template.format(*filled))) + "."
    start = text.index("\0")
    word = words[place]
    if start == 0:
        word = sentence(word)
    before, _, after = text.split("\0")
    return Fact(before + word + after, word, start)


_OTHERS: tuple[Callable[[Random, Split], str], ...] = (
    lambda rng, split: review(rng, split).text,
    lambda rng, split: topical(rng, split).text,
    lambda rng, split: pair(rng, split).premise,
    lambda rng, split: sentence(howto.query(rng, howto.meaning(rng, split))),
    lambda rng, split: howto.document(rng, howto.meaning(rng, split)),
)


def passage(rng: Random, split: Split) -> str:
    """One to three facts, or a text of another grammar."""
    if rng.random() < 0.6:
        return " ".join(fact(rng, split).text for _ in range(rng.choice((1, 1, 2, 3))))
    return rng.choice(_OTHERS)(rng, split)
