"""Chats about the facts of `world`: what an assistant says to regular questions, told by what was said before.

A system message sets how answers sound, a name once given is known later, "And Italy?" asks again what was asked
last, and of a word that does not exist nothing is known. So every answer follows from the chat, and there is one right
one. Of the ways to ask for a fact some are held out, never the fact itself; held-out names are new, unless the chat is
to be familiar. It knows neither templates nor tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from grammars.core import Split, articles, invented, is_heldout, sentence, words
from grammars.names import names
from grammars.world import ANIMALS, COLOURS, COUNTRIES, CYCLES, OPPOSITES, THINGS, WORKERS, rows

Message = dict[str, str]  # role and content, as chat templates take them
Style = Callable[[str, str], str]  # (the full answer, the word it is about) -> what is said


@dataclass(frozen=True, slots=True)
class _Relation:
    """Ways to ask for a fact of a row, the subject first; its full answer, and the place of the word that is it."""

    table: str
    questions: tuple[str, ...]
    again: str  # how it is asked of another row
    answer: str
    place: int
    invented: bool = True  # whether it can be asked of a word that does not exist


_RELATIONS = (
    _Relation(
        COUNTRIES,
        ("What is the capital of {0}?", "Name the capital of {0}.", "Which city is the capital of {0}?",
         "Tell me the capital of {0}.", "Do you know the capital of {0}?"),
        "And {0}?", "The capital of {0} is {1}.", 1,
    ),
    _Relation(
        COUNTRIES,
        ("Which language do people speak in {0}?", "What do people speak in {0}?", "What is the language of {0}?",
         "Name the language of {0}."),
        "And in {0}?", "People speak {2} in {0}.", 2,
    ),
    _Relation(
        COUNTRIES,
        ("Where is {0}?", "Which continent is {0} in?", "On which continent is {0}?", "Where can I find {0}?"),
        "Where is {0}, then?", "{0} is in {3}.", 3,
    ),
    _Relation(
        ANIMALS,
        ("What does a(n) {0} eat?", "What do I feed a(n) {0}?", "What is the food of a(n) {0}?"),
        "And a(n) {0}?", "A(n) {0} eats {3}.", 3,
    ),
    _Relation(
        ANIMALS,
        ("What is a young {0} called?", "How do you call a young {0}?", "What is the name of a young {0}?"),
        "And a young {0}?", "A young {0} is called a(n) {1}.", 1,
    ),
    _Relation(
        OPPOSITES,
        ("What is the opposite of {0}?", "Name the opposite of {0}.", "What is the contrary of {0}?",
         "Which word is the opposite of {0}?"),
        "And of {0}?", "The opposite of {0} is {1}.", 1,
    ),
    _Relation(
        COLOURS,
        ("What colour is {0}?", "Which colour has {0}?", "What is the colour of {0}?", "Name the colour of {0}."),
        "And {0}?", "{0} is {1}.", 1, invented=False,
    ),
    _Relation(
        WORKERS,
        ("Where does a(n) {0} work?", "Where can I meet a(n) {0}?", "What is the workplace of a(n) {0}?"),
        "And a(n) {0}?", "A(n) {0} works at the {1}.", 1,
    ),
    _Relation(
        THINGS,
        ("What do I need to {0}?", "What is needed to {0}?", "With what do I {0}?"),
        "And to {0}?", "To {0}, you need your {1}.", 1, invented=False,
    ),
)  # fmt: skip
_PORTRAITS = (
    (COUNTRIES, "{0}", "{0} is a country in {3}. Its capital is {1}, and people speak {2}."),
    (ANIMALS, "the {0}", "The {0} {2} and eats {3}. A young {0} is called a(n) {1}."),
    (WORKERS, "the {0}", "The {0} works at the {1} and {2} {3} every day."),
)
_ABOUT = ("Tell me about {}.", "What do you know about {}?", "Describe {}.", "Can you tell me about {}?")
_AFTER = ("What comes after {0}?", "What follows {0}?", "What is next after {0}?")
_BEFORE = ("What comes before {1}?", "What is right before {1}?")
_COUNT = ("Count from {} to {}.", "Please count from {} to {}.", "Can you count from {} to {}?")
_REPEAT = ("Repeat the word {}.", "Say the word {}.", "Please write {} again.")
_HELLO = ("Hello, I am {}.", "Hi, my name is {}.", "My name is {}.", "Good morning, this is {}.")
_WHO = ("What is my name?", "Do you remember my name?", "Who am I?")
_THANKS = ("Thank you.", "Thanks!", "Thank you very much.", "That helps, thanks.")
_NUMBERS = words("one two three four five six seven eight nine ten eleven twelve")


def _plain(full: str, word: str) -> str:
    return full


def _brief(full: str, word: str) -> str:
    return sentence(word) + "."


def _polite(full: str, word: str) -> str:
    return "With pleasure. " + full


_SYSTEMS: tuple[tuple[tuple[str, ...], Style], ...] = (
    (("",), _plain),
    (("You are a helpful assistant.", "Answer in full sentences."), _plain),
    (("Answer in one word.", "Be brief.", "Give short answers."), _brief),
    (("Be polite.", "Always be polite.", "You are a polite assistant."), _polite),
)


def chat(rng: Random, split: Split, familiar: bool = False) -> list[Message]:
    """One to five exchanges, perhaps after a system message; the last message is the assistant's.

    A familiar chat has the names of training and no word that does not exist: nothing in it has to be spelled out.
    """
    given = names("train" if familiar else split).given
    system, style = rng.choice(_SYSTEMS)
    text = rng.choice(system)
    messages = [{"role": "system", "content": text}] if text else []
    name = ""
    asked: _Relation | None = None
    for _ in range(rng.choice((1, 1, 2, 3, 4, 5))):
        drawn = rng.random()
        if drawn < 0.12:
            name = rng.choice(given)
            said, answer = rng.choice(_HELLO).format(name), f"Hello, {name}! How can I help you?"
            asked = None
        elif drawn < 0.2:
            full = f"Your name is {name}." if name else "I do not know your name."
            said, answer = rng.choice(_WHO), style(full, name or "unknown")
            asked = None
        elif drawn < 0.25:
            said, answer = rng.choice(_THANKS), f"You are welcome, {name}!" if name else "You are welcome!"
            asked = None
        elif drawn < 0.45:
            said, answer = rng.choice(_FAMILIAR if familiar else _OTHERS)(rng, style)
            asked = None
        else:
            again = asked if rng.random() < 0.5 else None
            asked = again or rng.choice(_RELATIONS)
            said, answer = _fact(rng, split, asked, style, again is not None, familiar)
        messages += [{"role": "user", "content": said}, {"role": "assistant", "content": answer}]
    return messages


def _fact(rng: Random, split: Split, relation: _Relation, style: Style, again: bool, familiar: bool) -> tuple[str, str]:
    if relation.invented and not familiar and rng.random() < 0.08:
        word = invented(rng)
        word = word.capitalize() if relation.table is COUNTRIES else word
        question = relation.again if again else rng.choice(relation.questions)
        return articles(question.format(word)), style(f"I do not know the word {word}.", "unknown")
    while True:
        row = rng.choice(rows(relation.table))
        question = relation.again if again else rng.choice(relation.questions)
        if is_heldout(f"{question}/{row}", 8) == (split == "heldout"):
            full = sentence(articles(relation.answer.format(*row)))
            return sentence(articles(question.format(*row))), style(full, row[relation.place])


def _portrait(rng: Random, style: Style) -> tuple[str, str]:
    table, name, told = rng.choice(_PORTRAITS)
    row = rng.choice(rows(table))
    text = sentence(articles(told.format(*row)))
    # There is no word for all of it, so who wants one gets the first sentence.
    return rng.choice(_ABOUT).format(name.format(*row)), style(text, text.split(".")[0])


def _next(rng: Random, style: Style) -> tuple[str, str]:
    cycle = rng.choice(CYCLES).split()
    at = rng.randrange(len(cycle) - 1)
    pair = cycle[at : at + 2]
    if rng.random() < 0.5:
        return rng.choice(_AFTER).format(*pair), style(sentence(f"{pair[1]} comes after {pair[0]}."), pair[1])
    return rng.choice(_BEFORE).format(*pair), style(sentence(f"{pair[0]} comes before {pair[1]}."), pair[0])


def _count(rng: Random, style: Style) -> tuple[str, str]:
    first = rng.randrange(len(_NUMBERS) - 2)
    last = rng.randrange(first + 2, len(_NUMBERS))
    counted = sentence(", ".join(_NUMBERS[first : last + 1]))
    return rng.choice(_COUNT).format(_NUMBERS[first], _NUMBERS[last]), style(counted + ".", counted)


def _repeat(rng: Random, style: Style) -> tuple[str, str]:
    word = invented(rng)
    return rng.choice(_REPEAT).format(word), style(f"The word is {word}.", word)


_FAMILIAR = (_portrait, _next, _count)
_OTHERS = (*_FAMILIAR, _repeat)
