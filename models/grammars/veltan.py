"""Veltan, a language that does not exist, written from the meaning of an English sentence. Its rules have no exception.

- Words: every English word has one Veltan stem, made from its spelling.
- Order: time, subject, place, object, verb. A reason comes before what it explains.
- Adjectives follow their noun and take its number. After a numeral both stay singular.
- Suffixes follow number, then case, and agree with the last vowel of what they stand on: front (e, i) or back.
- Articles: "the" is not said. Pronouns know no gender. A case is set off from a name by a hyphen.
- Verbs: a prefix denies, a suffix gives the tense, another a plural subject; a last word asks.

It knows nothing of English spelling beyond the words it translates.
"""

from __future__ import annotations

import zlib
from functools import cache
from random import Random

from grammars import clauses
from grammars.clauses import Clause, Phrase, Role, Sentence, Tense
from grammars.core import sentence, words

_ONSETS = words("k t p s m n l r v d b g z h sh br dr kl")
_VOWELS = "aeiou"
_CODAS = ("", "", "", "n", "r", "l", "s", "m")
_PLURAL = ("ek", "ok")  # after front, after back vowels
_CASES: dict[Role, tuple[str, str]] = {
    "subject": ("", ""), "object": ("ne", "na"), "in": ("te", "ta"), "with": ("les", "los"), "from": ("mer", "mar"),
    "to": ("gi", "gu"),
}  # fmt: skip
_TENSES: dict[Tense, tuple[str, str]] = {"past": ("di", "du"), "present": ("e", "a"), "future": ("shi", "shu")}
_SEVERAL, _NOT, _ASKS = ("ven", "von"), "ni", "ka"
_PRONOUNS = {"1s": "mai", "2s": "tei", "3m": "sa", "3f": "sa", "1p": "maru", "3p": "saru"}
_DETERMINERS = {"the": "", "a": "un", "my": "moi", "your": "toi", "this": "kes"}
_LINKS = {"and": "eo", "but": "mal", "because": "perin"}


def veltan(said: Sentence) -> str:
    text = _clause(said.first)
    if said.second and said.link == "because":
        text = f"{_clause(said.second)} {_LINKS[said.link]} {text}"
    elif said.second:
        text = f"{text}, {_LINKS[said.link]} {_clause(said.second)}"
    return sentence(text) + ("?" if said.first.question else ".")


def _clause(clause: Clause) -> str:
    parts = [stem(clause.time) if clause.time else "", _phrase(clause.subject, "subject")]
    if clause.place:
        role, where = clause.place
        parts.append(_phrase(where, role))
    if clause.object:
        parts.append(_phrase(clause.object, "object"))
    verb = _suffixed(stem(clause.verb), _TENSES[clause.tense])
    if clause.subject.plural:
        verb = _suffixed(verb, _SEVERAL)
    parts += [(_NOT if clause.negative else "") + verb, _ASKS if clause.question else ""]
    return " ".join(part for part in parts if part)


def _phrase(phrase: Phrase, role: Role) -> str:
    if phrase.pronoun:
        return _suffixed(_PRONOUNS[phrase.pronoun], _CASES[role])
    if phrase.name:
        ending = _suffixed(phrase.name, _CASES[role]).removeprefix(phrase.name)
        return f"{phrase.name}-{ending}" if ending else phrase.name
    counted = phrase.determiner in clauses.NUMBERS
    several = phrase.several and not counted
    noun, adjective = (
        _suffixed(stem(word), _PLURAL) if word and several else word and stem(word)
        for word in (phrase.noun, phrase.adjective)
    )
    before = stem(phrase.determiner) if counted else _DETERMINERS[phrase.determiner]
    return " ".join(part for part in (before, _suffixed(noun, _CASES[role]), adjective) if part)


def _suffixed(word: str, forms: tuple[str, str]) -> str:
    """The word with the form that agrees with its last vowel."""
    vowels = [letter for letter in word.lower() if letter in _VOWELS]
    return word + forms[0 if vowels and vowels[-1] in "ei" else 1]


def stem(word: str) -> str:
    """The Veltan stem of an English word or time."""
    return _lexicon()[word]


@cache
def _lexicon() -> dict[str, str]:
    """No two words have the same stem."""
    english = (
        *clauses.PEOPLE, *clauses.ANIMALS, *clauses.THINGS, *clauses.PLACES, *clauses.ADJECTIVES, *clauses.TRANSITIVE,
        *clauses.INTRANSITIVE, *clauses.NUMBERS, *(time for times in clauses.TIMES.values() for time in times),
    )  # fmt: skip
    taken = {"", *_PRONOUNS.values(), *_DETERMINERS.values(), *_LINKS.values(), _ASKS}
    found: dict[str, str] = {}
    for word in dict.fromkeys(english):
        rng = Random(zlib.crc32(word.encode()))
        made = ""
        while made in taken:
            made = "".join(
                rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS) for _ in range(rng.choice((1, 2, 2)))
            )
        taken.add(made)
        found[word] = made
    return found
