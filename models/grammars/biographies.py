"""Short passages about people, companies and towns, with questions that they answer or do not.

A passage holds facts about several subjects of the same kind, so that the name in the question
decides; unanswerable questions ask for a fact that is told of somebody else, or of nobody. Names
of the held-out side are new words. It knows neither tokens nor windows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from grammars.core import Split, articles, invented, sentence, words
from grammars.names import WOMEN, names


@dataclass(frozen=True, slots=True)
class Relation:
    """What can be told of a subject: `{s}` is the subject, `{v}` the value."""

    statements: tuple[str, ...]
    questions: tuple[str, ...]
    value: str  # kind of value, a key of _VALUES


@dataclass(frozen=True, slots=True)
class Question:
    """A question on a passage; `answer` is empty and `start` -1 where the passage has none."""

    question: str
    context: str
    answer: str
    start: int


_JOBS = words("""teacher doctor pilot baker painter lawyer farmer nurse chemist singer carpenter tailor plumber
    dentist gardener journalist librarian architect engineer butcher translator firefighter mechanic
    photographer waiter sailor judge potter weaver surgeon""")
_WORDS: dict[str, tuple[str, ...]] = {
    "job": _JOBS,
    "instrument": words("piano violin guitar flute trumpet cello drums harp clarinet saxophone oboe banjo accordion"),
    "animal": words("dog cat horse parrot rabbit goat turtle hamster donkey pony goose lizard"),
    "food": words("rice soup pizza noodles fish cheese salad bread dumplings pancakes curry beans mushrooms olives"),
    "subject": words(
        "history physics law medicine music chemistry biology philosophy mathematics economics geography art"
    ),
    "language": words(
        "English French German Spanish Italian Arabic Russian Japanese Turkish Polish Swahili Hindi Greek"
    ),
    "product": words(
        "shoes bicycles tractors cameras carpets clocks tyres pencils pianos batteries ovens engines chairs umbrellas"
    ),
    "river": tuple(
        f"River {name}"
        for name in [
            "Alder",
            "Brant",
            "Cole",
            "Dove",
            "Esk",
            "Forth",
            "Gade",
            "Hull",
            "Idle",
            "Kent",
            "Lune",
            "Mole",
            "Nene",
            "Ouse",
        ]
    ),
    "sight": words("castle cathedral bridge market harbour gardens museum tower university lighthouse theatre railway"),
    "colour": words("red blue green black white grey brown yellow purple orange pink silver"),
}

_PERSON = {
    "birthplace": Relation(
        ("{s} was born in {v}", "{s} comes from {v}", "{s} grew up in {v}", "the birthplace of {s} is {v}"),
        (
            "Where was {s} born?",
            "Where does {s} come from?",
            "Where did {s} grow up?",
            "What is the birthplace of {s}?",
        ),
        "town",
    ),
    "birth_year": Relation(
        ("{s} was born in {v}", "{s} was born on a cold day in {v}", "the year of birth of {s} is {v}"),
        ("When was {s} born?", "In which year was {s} born?", "What year was {s} born in?"),
        "year",
    ),
    "job": Relation(
        ("{s} works as a(n) {v}", "{s} is a(n) {v}", "{s} became a(n) {v}", "{s} earns a living as a(n) {v}"),
        (
            "What does {s} do for a living?",
            "What is the job of {s}?",
            "What does {s} work as?",
            "What is the profession of {s}?",
        ),
        "job",
    ),
    "employer": Relation(
        ("{s} works for {v}", "{s} joined {v} last year", "{s} is employed by {v}", "{s} has a desk at {v}"),
        ("Who does {s} work for?", "Which company employs {s}?", "Where does {s} work?"),
        "company",
    ),
    "home": Relation(
        ("{s} lives in {v}", "{s} moved to {v}", "{s} has a house in {v}", "{s} now rents a flat in {v}"),
        ("Where does {s} live?", "Which town does {s} live in?", "Where is the home of {s}?"),
        "town",
    ),
    "instrument": Relation(
        ("{s} plays the {v}", "{s} practises the {v} every day", "{s} learned to play the {v}"),
        ("What instrument does {s} play?", "Which instrument does {s} play?", "What does {s} play?"),
        "instrument",
    ),
    "animal": Relation(
        ("{s} has a(n) {v}", "{s} owns a(n) {v}", "{s} feeds a(n) {v} every morning"),
        ("Which animal does {s} have?", "What animal does {s} own?", "What pet does {s} have?"),
        "animal",
    ),
    "food": Relation(
        ("{s} likes to eat {v}", "{s} loves {v}", "the favourite food of {s} is {v}", "{s} cooks {v} on Sundays"),
        ("What does {s} like to eat?", "What is the favourite food of {s}?", "What food does {s} like?"),
        "food",
    ),
    "study": Relation(
        ("{s} studied {v}", "{s} has a degree in {v}", "{s} went to university to study {v}"),
        ("What did {s} study?", "Which subject did {s} study?", "What does {s} have a degree in?"),
        "subject",
    ),
    "spouse": Relation(
        ("{s} is married to {v}", "{s} married {v} in spring", "the partner of {s} is {v}"),
        ("Who is {s} married to?", "Whom did {s} marry?", "Who is the partner of {s}?"),
        "person",
    ),
    "language": Relation(
        ("{s} speaks {v}", "{s} is learning {v}", "the mother tongue of {s} is {v}"),
        ("Which language does {s} speak?", "What language does {s} speak?", "What is the mother tongue of {s}?"),
        "language",
    ),
    "car": Relation(
        ("{s} drives a(n) {v} car", "the car of {s} is {v}", "{s} bought a(n) {v} car"),
        (
            "What colour is the car of {s}?",
            "Which colour is the car of {s}?",
            "What is the colour of the car that {s} drives?",
        ),
        "colour",
    ),
}
_COMPANY = {
    "founded": Relation(
        ("{s} was founded in {v}", "{s} has existed since {v}", "{s} was started in {v}"),
        ("When was {s} founded?", "In which year was {s} started?", "Since when has {s} existed?"),
        "year",
    ),
    "founder": Relation(
        ("{s} was founded by {v}", "the founder of {s} is {v}", "{v} started {s}"),
        ("Who founded {s}?", "Who is the founder of {s}?", "Who started {s}?"),
        "person",
    ),
    "seat": Relation(
        ("{s} is based in {v}", "{s} has its head office in {v}", "the head office of {s} is in {v}"),
        ("Where is {s} based?", "Where is the head office of {s}?", "Which town is {s} based in?"),
        "town",
    ),
    "product": Relation(
        ("{s} makes {v}", "{s} sells {v}", "{s} is known for its {v}"),
        ("What does {s} make?", "What does {s} sell?", "What is {s} known for?"),
        "product",
    ),
    "staff": Relation(
        ("{s} employs {v} people", "{s} has {v} workers", "{v} people work at {s}"),
        ("How many people work at {s}?", "How many people does {s} employ?", "How many workers does {s} have?"),
        "count",
    ),
}
_TOWN = {
    "river": Relation(
        ("{s} lies on the {v}", "the {v} flows through {s}", "{s} was built beside the {v}"),
        ("Which river flows through {s}?", "What river does {s} lie on?", "What is the river of {s}?"),
        "river",
    ),
    "people": Relation(
        ("{s} has {v} inhabitants", "{v} people live in {s}", "the population of {s} is {v}"),
        ("How many people live in {s}?", "What is the population of {s}?", "How many inhabitants does {s} have?"),
        "count",
    ),
    "mayor": Relation(
        ("the mayor of {s} is {v}", "{v} is the mayor of {s}", "{s} elected {v} as its mayor"),
        ("Who is the mayor of {s}?", "Who governs {s}?", "Whom did {s} elect?"),
        "person",
    ),
    "sight": Relation(
        ("{s} is famous for its {v}", "people visit {s} to see the {v}", "the pride of {s} is its {v}"),
        ("What is {s} famous for?", "What do people visit in {s}?", "What is the pride of {s}?"),
        "sight",
    ),
}
_FILLERS = (
    "The weather was mild that year.",
    "Not much else is known.",
    "This page was written by a student.",
    "Everybody agrees on that.",
    "The old records were lost in a fire.",
    "There is a photograph of it.",
    "Nobody remembers why.",
    "The story was printed in the newspaper.",
    "More details can be found below.",
)


def _person(rng: Random, split: Split) -> str:
    known = names(split)
    given, surname = rng.choice(known.given), rng.choice(known.surnames)
    if split == "train":
        given = invented(rng).capitalize() if rng.random() < 0.15 else given
        surname = invented(rng).capitalize() if rng.random() < 0.2 else surname
    return f"{given} {surname}"


def _town(rng: Random, split: Split) -> str:
    new = split == "train" and rng.random() < 0.2
    return invented(rng).capitalize() if new else rng.choice(names(split).cities)


def _company(rng: Random, split: Split) -> str:
    stem = _person(rng, split).split()[1]
    return f"{stem} {rng.choice(('Motors', 'Foods', 'Media', 'Steel', 'Airlines', 'Group', 'Ltd', 'and Sons'))}"


def _year(rng: Random, split: Split) -> str:
    del split
    return str(rng.randint(1820, 2024))


def _count(rng: Random, split: Split) -> str:
    del split
    return str(rng.choice((rng.randint(12, 99), rng.randint(100, 999), rng.randint(1, 99) * 1000)))


_VALUES: dict[str, Callable[[Random, Split], str]] = {
    "person": _person,
    "town": _town,
    "company": _company,
    "year": _year,
    "count": _count,
}
_KINDS: tuple[tuple[Callable[[Random, Split], str], dict[str, Relation], tuple[str, ...]], ...] = (
    (_person, _PERSON, ("He", "She")),
    (_person, _PERSON, ("He", "She")),
    (_company, _COMPANY, ("It", "The company")),
    (_town, _TOWN, ("It", "The town")),
)


def _value(rng: Random, split: Split, kind: str) -> str:
    return _VALUES[kind](rng, split) if kind in _VALUES else rng.choice(_WORDS[kind])


@dataclass(frozen=True, slots=True)
class _Fact:
    subject: str
    relation: str
    text: str
    value: str


def question(rng: Random, split: Split, longest: int = 7) -> Question:
    """One question on a passage of up to `longest` facts; about three in ten have no answer."""
    subject_of, relations, pronouns = rng.choice(_KINDS)
    subjects = [subject_of(rng, split) for _ in range(rng.choice((1, 2, 2, 3)))]
    asked = rng.choice(list(relations))
    answerable = rng.random() < 0.7
    # The one asked about; without an answer, often somebody of whom the passage says nothing.
    who = subjects[0] if answerable or rng.random() < 0.6 else subject_of(rng, split)
    facts, target = [], None
    for subject in subjects:
        told = rng.sample(list(relations), _how_many(rng, longest // len(subjects), relations))
        # Others often have a fact of the same kind, so that only the name decides.
        wanted = answerable if subject == who else rng.random() < 0.6
        told = [name for name in told if name != asked] + ([asked] if wanted else [])
        rng.shuffle(told)
        facts += [_fact(rng, split, subject, relations, name) for name in told]
        if wanted and subject == who:
            target = next(fact for fact in facts if (fact.subject, fact.relation) == (who, asked))
    if not facts:
        return question(rng, split, longest)
    if rng.random() < 0.5:
        facts.reverse()
    context, start = _passage(rng, facts, pronouns, target)
    text = rng.choice(relations[asked].questions).format(s=who)
    return Question(text, context, target.value if target else "", start)


def lookup(rng: Random, split: Split) -> Question:
    """A question on where a name stands: no test of reading, but the first thing to learn."""
    subject_of, relations, pronouns = rng.choice(_KINDS)
    subjects = [subject_of(rng, split) for _ in range(rng.choice((1, 2, 2, 3)))]
    facts = [
        _fact(rng, split, subject, relations, name)
        for subject in subjects
        for name in rng.sample(list(relations), rng.choice((1, 1, 2)))
    ]
    context, _ = _passage(rng, facts, pronouns, None)
    who = rng.choice(subjects) if rng.random() < 0.7 else subject_of(rng, split)
    text = rng.choice(("Who is {s}?", "Where is {s} mentioned?", "Find {s}.")).format(s=who)
    start = context.find(who)
    return Question(text, context, who if start >= 0 else "", start)


def _how_many(rng: Random, most: int, relations: dict[str, Relation]) -> int:
    """At least one fact, and at least one left untold."""
    return min(rng.randint(1, max(1, most)), len(relations) - 1)


def _fact(rng: Random, split: Split, subject: str, relations: dict[str, Relation], name: str) -> _Fact:
    relation = relations[name]
    value = _value(rng, split, relation.value)
    return _Fact(subject, name, rng.choice(relation.statements), value)


def _passage(rng: Random, facts: Sequence[_Fact], pronouns: Sequence[str], target: _Fact | None) -> tuple[str, int]:
    """The text, and where the target's value starts. Facts of a subject stay together, so that a
    pronoun after the first is clear; or all are mixed and every subject is named."""
    together = rng.random() < 0.6
    order = list(facts)
    if not together:
        rng.shuffle(order)
    pronoun = {fact.subject: _pronoun(rng, fact.subject, pronouns) for fact in facts}
    text, start, previous = "", -1, ""
    for fact in order:
        if text:
            text += " "
        named = pronoun[fact.subject] if together and fact.subject == previous else fact.subject
        named = fact.subject if not fact.text.startswith("{s}") else named
        before, after = fact.text.split("{v}")
        before = articles(before.format(s=named) + fact.value)[: -len(fact.value)]
        if fact is target:
            start = len(text) + len(before)
        statement = before + fact.value + after.format(s=named)
        text += sentence(statement) + "."
        previous = fact.subject
        if rng.random() < 0.12:
            text += " " + rng.choice(_FILLERS)
    return text, start


def _pronoun(rng: Random, subject: str, pronouns: Sequence[str]) -> str:
    if "She" in pronouns:
        return "She" if subject.split()[0] in WOMEN else "He"
    return rng.choice(pronouns)
