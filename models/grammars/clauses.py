"""English sentences with their meaning: who does what to whom, when and where, said or asked, and why.

The meaning is what another language can be written from; held-out sentences have new triples of subject, verb and
object, and new names or those of training, as asked. It knows no other language.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Literal

from grammars.core import Split, articles, invented, is_heldout, sentence, words
from grammars.names import names

Tense = Literal["past", "present", "future"]
Role = Literal["subject", "object", "in", "with", "from", "to"]
Name = Callable[[], str]

PEOPLE = words("""teacher doctor baker farmer judge pilot sailor chef librarian actor tailor miner gardener scientist
    soldier mechanic king queen child neighbour friend brother sister nurse""")
ANIMALS = words("dog cat horse cow pig bear duck goat owl frog bird lamb")
THINGS = words("""book letter lamp bed knife pen broom shovel brush needle bread apple cake fish garden house door
    window boat car bicycle clock mirror guitar picture table chair coat hat bridge tower ship key box stone tree
    flower song""")
PLACES = words("school hospital bakery farm court airport restaurant library theatre workshop mine shop forest village")
ADJECTIVES = words("""big small old new red green white black blue happy sad quiet loud strong weak rich poor young
    brave heavy clean dirty cheap strange""")
# Verbs as base/past; what they are done to is any person, animal or thing.
TRANSITIVE = dict(
    form.split("/")
    for form in words(
        """see/saw find/found paint/painted buy/bought sell/sold carry/carried hide/hid clean/cleaned love/loved
        draw/drew watch/watched follow/followed lose/lost choose/chose bring/brought push/pushed hold/held
        forget/forgot remember/remembered need/needed want/wanted touch/touched protect/protected call/called
        describe/described help/helped hear/heard leave/left"""
    )
)
INTRANSITIVE = dict(
    form.split("/")
    for form in words(
        """sleep/slept wait/waited work/worked laugh/laughed sing/sang run/ran swim/swam dance/danced cry/cried
        rest/rested play/played arrive/arrived"""
    )
)
NUMBERS = words("two three four five six seven")
TIMES: dict[Tense, tuple[str, ...]] = {
    "past": ("yesterday", "last week"), "present": ("today", "every day"), "future": ("tomorrow", "next week")
}  # fmt: skip
LINKS = ("and", "but", "because")
# Person and number -> as subject, as object.
PRONOUNS = {"1s": ("I", "me"), "2s": ("you", "you"), "3m": ("he", "him"), "3f": ("she", "her"), "1p": ("we", "us"),
            "3p": ("they", "them")}  # fmt: skip
_PLURALS = {"child": "children", "fish": "fish", "knife": "knives"}


@dataclass(frozen=True, slots=True)
class Phrase:
    """A pronoun, a name, or a noun with what stands before it; exactly one of the first three is not empty."""

    pronoun: str = ""  # key of PRONOUNS
    name: str = ""
    noun: str = ""
    determiner: str = ""  # the, a, my, your, this, or one of NUMBERS
    adjective: str = ""
    several: bool = False

    @property
    def plural(self) -> bool:
        return self.several or self.pronoun in ("1p", "3p")


@dataclass(frozen=True, slots=True)
class Clause:
    subject: Phrase
    verb: str
    tense: Tense
    object: Phrase | None
    place: tuple[Role, Phrase] | None
    time: str
    negative: bool
    question: bool


@dataclass(frozen=True, slots=True)
class Sentence:
    """One clause, or two and what links them."""

    first: Clause
    link: str = ""
    second: Clause | None = None


def meaning(rng: Random, split: Split, people: Split | None = None) -> Sentence:
    """A sentence of that side of the split, with the names of the side `people`, the same unless given."""
    given = names(people or split).given

    def name() -> str:
        # In training many that do not exist, so that names are copied and not guessed.
        return invented(rng).capitalize() if split == "train" and rng.random() < 0.4 else rng.choice(given)

    if rng.random() < 0.25:
        first, link = _clause(rng, split, name, linked=True), rng.choice(LINKS)
        return Sentence(first, link, _clause(rng, split, name, linked=True))
    return Sentence(_clause(rng, split, name))


def english(said: Sentence) -> str:
    text = _clause_text(said.first)
    if said.second:
        text += f"{'' if said.link == 'because' else ','} {said.link} {_clause_text(said.second)}"
    return sentence(articles(text)) + ("?" if said.first.question else ".")


def _clause(rng: Random, split: Split, name: Name, linked: bool = False) -> Clause:
    tense: Tense = rng.choice(("past", "present", "future"))
    while True:
        subject = _phrase(rng, name, PEOPLE + PEOPLE + ANIMALS)
        acts = rng.random() < 0.75
        verb = rng.choice(tuple(TRANSITIVE if acts else INTRANSITIVE))
        done_to = _phrase(rng, name, PEOPLE + ANIMALS + THINGS * 2) if acts else None
        triple = f"{subject.noun or subject.pronoun}/{verb}/{done_to and (done_to.noun or done_to.pronoun)}"
        if is_heldout(triple, 8) == (split == "heldout"):
            break
    place = None
    if rng.random() < (0.2 if linked else 0.4):
        role: Role = rng.choice(("in", "in", "with", "from", "to"))
        place = (role, _phrase(rng, name, PEOPLE) if role == "with" else _noun(rng, PLACES, plain=True))
    return Clause(
        subject, verb, tense, done_to, place,
        time=rng.choice(TIMES[tense]) if rng.random() < (0.15 if linked else 0.35) else "",
        negative=rng.random() < 0.2,
        question=not linked and rng.random() < 0.2,
    )  # fmt: skip


def _phrase(rng: Random, name: Name, nouns: tuple[str, ...]) -> Phrase:
    drawn = rng.random()
    if drawn < 0.15:
        return Phrase(pronoun=rng.choice(tuple(PRONOUNS)))
    if drawn < 0.35:
        return Phrase(name=name())
    return _noun(rng, nouns)


def _noun(rng: Random, nouns: tuple[str, ...], plain: bool = False) -> Phrase:
    several = rng.random() < (0.1 if plain else 0.35)
    determiners = ("the", "the", "my", "your", *rng.choices(NUMBERS, k=2)) if several else (
        "the", "the", "the", "a", "a", "my", "your", "this"
    )  # fmt: skip
    return Phrase(
        noun=rng.choice(nouns),
        determiner=rng.choice(determiners),
        adjective=rng.choice(ADJECTIVES) if rng.random() < (0.1 if plain else 0.35) else "",
        several=several,
    )


def _clause_text(clause: Clause) -> str:
    """Subject, verb, object, place, time; questions and negation with do."""
    third = not clause.subject.plural and clause.subject.pronoun not in ("1s", "2s")
    helper = {"past": "did", "present": "does" if third else "do", "future": "will"}[clause.tense]
    verb = clause.verb
    if clause.question:
        parts = [helper, _text(clause.subject, "subject"), "not" if clause.negative else "", verb]
    elif clause.negative or clause.tense == "future":
        parts = [_text(clause.subject, "subject"), helper, "not" if clause.negative else "", verb]
    else:
        past = {**TRANSITIVE, **INTRANSITIVE}[verb]
        parts = [_text(clause.subject, "subject"), past if clause.tense == "past" else _with_s(verb) if third else verb]
    if clause.object:
        parts.append(_text(clause.object, "object"))
    if clause.place:
        role, phrase = clause.place
        parts += [role, _text(phrase, role)]
    return " ".join(part for part in [*parts, clause.time] if part)


def _text(phrase: Phrase, role: Role) -> str:
    if phrase.pronoun:
        return PRONOUNS[phrase.pronoun][role != "subject"]
    if phrase.name:
        return phrase.name
    determiner = {"a": "a(n)"}.get(phrase.determiner, phrase.determiner)
    noun = _plural(phrase.noun) if phrase.several else phrase.noun
    return " ".join(part for part in (determiner, phrase.adjective, noun) if part)


def _plural(noun: str) -> str:
    return _PLURALS.get(noun) or _with_s(noun)


def _with_s(word: str) -> str:
    """The plural of a noun and the third person of a verb are spelled alike."""
    if word[-1] == "y" and word[-2] not in "aeiou":
        return word[:-1] + "ies"
    return word + ("es" if word.endswith(("s", "sh", "ch", "x")) else "s")
