"""News-like sentences with their named entities: PER, ORG, LOC, MISC, as character spans.

The names of the held-out side never occur in training, people and towns share their syllables,
and every sentence has capitals that are no entities. It knows neither tokens nor B- and I- tags.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from grammars.core import Split, articles, expand, invented, sentence, words
from grammars.names import Names, names

_SLOT = re.compile(r"<([A-Z]+)>")
_INDUSTRY = words("""Motors Industries Systems Foods Airlines Steel Energy Media Software Pharma Holdings Group
    Partners Electronics Textiles Robotics Mining Shipping Insurance Breweries Networks""")
_SUFFIX = ("Inc", "Ltd", "Corp", "AG", "plc", "GmbH")
_BODY = ("Ministry of", "Department of", "Institute of", "Office for", "Agency for", "Council of", "Board of")
_FIELD = words("""Health Education Transport Trade Science Energy Justice Labour Finance Fisheries Agriculture
    Culture Statistics Defence Housing""")
_CLUB = ("United", "City", "Rovers", "Athletic", "Wanderers", "Dynamos", "Tigers", "Eagles", "FC")
_EVENT = ("Marathon", "Festival", "Open", "Championship", "Summit", "Grand Prix", "Biennale", "Derby", "Cup")
_WORK = ("Prize", "Award", "Treaty", "Act", "Theorem", "Symphony", "Medal", "Agreement")
_RULES: dict[str, tuple[str, ...]] = {
    "job": words("""engineer teacher minister lawyer doctor pilot singer painter striker goalkeeper economist
        biologist architect journalist banker chemist actor historian nurse judge mayor poet baker farmer
        director analyst spokesman coach captain officer manager senator"""),
    "thing": words("""report bridge factory contract museum hospital budget school engine law tunnel speech album
        harbour station proposal vaccine study novel stadium theatre satellite dam market"""),
    "said": ("said", "told reporters", "announced", "confirmed", "denied", "warned", "argued", "explained"),
    "adjective": words("new old large small local national secret final early famous rare strange"),
    "day": words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday"),
    "month": words("January February March April May June July August September October"),
    "year": ("1968", "1987", "1994", "2003", "2011", "2016", "2019", "2021", "2024"),
    "number": words("two three five seven nine twelve forty 300 1,200 50"),
    "when": ("on {day}", "in {month}", "in {year}", "last week", "yesterday", "in {month} {year}", "this year"),
    "title": ("Dr", "Mr", "Mrs", "Professor", "President", "Judge", "Captain", "Sir", "Senator", "Chancellor"),
    "person": ("<PER>", "<PER>", "<PER>", "{title} <PER>", "the {job} <PER>", "<PER>, a(n) {job},"),
    "place": ("<LOC>", "<LOC>", "<TOWN>, <COUNTRY>", "the city of <TOWN>", "northern <LOC>"),
    "company": ("<ORG>", "<ORG>", "the {adjective} firm <ORG>", "<ORG> (<ORG>)"),
    "entity_sentence": (
        "{person} was born in {place} {when}",
        "{person} works for {company} in {place}",
        "{company} opened a(n) {thing} in {place} {when}",
        "{person} {said} that {company} would buy the {thing}",
        "{company} {said} {when} that {person} will lead the {thing}",
        "{when}, {person} travelled from {place} to {place}",
        "{person} and {person} met in {place} {when}",
        "the {adjective} {thing} in {place} was built by {company}",
        "the <EVENT> took place in {place} {when}",
        "{person} won the <WORK> {when}",
        "the <PEOPLE> {job} {person} moved to {place}",
        "<PEOPLE> {job}s visited {place} {when}",
        "a(n) {adjective} <PEOPLE> {thing} was shown in {place}",
        "shares of {company} fell after {person} left",
        "{company} beat {company} in {place} {when}",
        "{person}, who lives near {place}, {said} nothing",
        "\"we need a(n) {thing},\" {said} {person} of {company}",
        "police in {place} found the {thing} of {person}",
        "{place} and {place} signed the <WORK> {when}",
        "according to {company}, {number} people left {place} {when}",
        "{person} studied at {company} before joining {company}",
        "the river near {place} flooded {number} houses",
        "trains between {place} and {place} were cancelled {when}",
        "{person} ({company}) finished ahead of {person} ({company})",
        "many people in {place} speak <PEOPLE>",
        "{person} joined {company} as a(n) {job} {when}",
        "the mayor of {place}, {person}, opened the {thing}",
        "it was raining in {place} when {person} arrived",
        "{person}'s {thing} was sold to {company} for {number} dollars",
        "<PEOPLE> and <PEOPLE> fans filled the streets of {place}",
        "{place}: {company} plans a(n) {adjective} {thing}",
        "{person} called {person} {when} about the {thing}",
        "I met {person} at {company} {when}",
        "my name is {person} and I live in {place}",
        "{person} lives in {place}",
        "{person} works at {company}",
        "{person} likes the {thing}",
        "{company} is based in {place}",
        "{company} hired {person}",
        "{place} is {adjective}",
    ),
    "plain_sentence": (
        "the {job} {said} that the {adjective} {thing} was closed {when}",
        "it was the {adjective} {thing} of the year",
        "nobody knows why the {thing} was sold",
        "{number} {job}s repaired the {adjective} {thing} {when}",
        "the {job} {said} nothing about the {thing}",
        "on {day} the {thing} stayed closed",
        "However, the {job} lost the {thing}",
        "THE {thing} IS {adjective}",
        "Yes, the {thing} opens in {month}",
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entity:
    start: int
    end: int
    label: str


@dataclass(frozen=True, slots=True)
class News:
    """Text, and its entities in order; offsets count characters."""

    text: str
    entities: tuple[Entity, ...]


def news(rng: Random, split: Split) -> News:
    """One to three sentences."""
    text, entities = "", []
    for _ in range(rng.choice((1, 1, 1, 1, 2, 2, 3))):
        if text:
            text += " " if text[-1] in ".!" else ". "
        kind = "plain_sentence" if rng.random() < 0.12 else "entity_sentence"
        pattern = sentence(expand(f"{{{kind}}}", _RULES, rng))
        pattern = pattern.replace(",,", ",").replace(",'s", "'s").rstrip(",") + rng.choice((".", ".", ".", "!", ""))
        filled, spans = _fill(pattern, rng, split)
        entities += [Entity(s + len(text), e + len(text), label) for s, e, label in spans]
        text += filled
    return News(text, tuple(entities))


def _fill(pattern: str, rng: Random, split: Split) -> tuple[str, list[tuple[int, int, str]]]:
    """Replace the slots by names and note where they are."""
    known, text, spans, at = names(split), "", [], 0
    for slot in _SLOT.finditer(pattern):
        text += pattern[at : slot.start()]
        label, make = _NAMES[slot.group(1)]
        name = make(rng, known, split)
        text = _article(text, name)
        spans.append((len(text), len(text) + len(name), label))
        text, at = text + name, slot.end()
    return text + pattern[at:], spans


def _article(text: str, name: str) -> str:
    return articles(text + name)[: -len(name)] if text.endswith("a(n) ") else text


def _made_up(rng: Random, split: Split) -> str | None:
    """Now and then, in training, a name of no known syllables."""
    return invented(rng).capitalize() if split == "train" and rng.random() < 0.25 else None


def _surname(rng: Random, known: Names, split: Split) -> str:
    surname = _made_up(rng, split) or rng.choice(known.surnames)
    return f"{surname}-{rng.choice(known.surnames)}" if rng.random() < 0.04 else surname


def _person(rng: Random, known: Names, split: Split) -> str:
    given, surname = rng.choice(known.given), _surname(rng, known, split)
    if split == "train" and rng.random() < 0.35:
        given = invented(rng).capitalize()
    initial = rng.choice("ABCDEFGHJKLMNPRSTW")
    forms = (f"{given} {surname}",) * 5 + (surname, given, f"{initial}. {surname}", f"{given} {initial}. {surname}")
    return rng.choice(forms)


def _town(rng: Random, known: Names, split: Split) -> str:
    return _made_up(rng, split) or rng.choice(known.cities)


def _location(rng: Random, known: Names, split: Split) -> str:
    town = _town(rng, known, split)
    forms = (town, town, town, _country(rng, known, split), rng.choice(known.regions))
    return rng.choice(forms)


def _organisation(rng: Random, known: Names, split: Split) -> str:
    name, town = _surname(rng, known, split), _town(rng, known, split)
    initials = "".join(rng.choice("ABCDEFGHIKLMNOPRSTUVW") for _ in range(rng.choice((3, 3, 4))))
    forms = (
        f"{name} {rng.choice(_INDUSTRY)}",
        f"{name} {rng.choice(_INDUSTRY)} {rng.choice(_SUFFIX)}",
        f"{name} & {_surname(rng, known, split)}",
        f"University of {town}",
        f"{town} University",
        f"Bank of {_country(rng, known, split)}",
        f"{rng.choice(_BODY)} {rng.choice(_FIELD)}",
        f"{town} {rng.choice(_CLUB)}",
        f"The {town} {rng.choice(('Times', 'Herald', 'Post', 'Gazette'))}",
        f"{name} Foundation",
        initials,
    )
    return rng.choice(forms)


def _country(rng: Random, known: Names, split: Split) -> str:
    return _made_up(rng, split) or rng.choice(known.countries)


def _people(rng: Random, known: Names, split: Split) -> str:
    name = _made_up(rng, split)
    return f"{name}{rng.choice(('ese', 'ian', 'an', 'ish'))}" if name else rng.choice(known.demonyms)


def _event(rng: Random, known: Names, split: Split) -> str:
    host = "World" if rng.random() < 0.15 else _town(rng, known, split)
    return f"{host} {rng.choice(_EVENT)}"


def _work(rng: Random, known: Names, split: Split) -> str:
    return f"{_surname(rng, known, split)} {rng.choice(_WORK)}"


# Slot -> (label, how to name it); several slots share a label where the context asks for a kind.
_NAMES: dict[str, tuple[str, Callable[[Random, Names, Split], str]]] = {
    "PER": ("PER", _person),
    "ORG": ("ORG", _organisation),
    "LOC": ("LOC", _location),
    "TOWN": ("LOC", _town),
    "COUNTRY": ("LOC", _country),
    "PEOPLE": ("MISC", _people),
    "EVENT": ("MISC", _event),
    "WORK": ("MISC", _work),
}
