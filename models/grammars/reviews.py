"""Reviews made of clauses of known opinion: for sentiment (three classes) and for star ratings.

A clause carries a score from -2 to 2. Negation flips it, the clause after "but" decides,
and facts without opinion carry nothing. It knows neither classes as numbers nor models.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from grammars.core import Split, articles, expand, invented, part, pick, sentence, words

_ADJECTIVES: dict[int, tuple[str, ...]] = {
    2: words("""amazing brilliant excellent fantastic wonderful superb outstanding perfect delightful
        magnificent incredible stunning terrific flawless marvellous exceptional fabulous gorgeous
        phenomenal awesome"""),
    1: words("""good nice pleasant decent solid enjoyable likeable lovely friendly useful reliable great
        charming satisfying helpful impressive comfortable tasteful thoughtful fun"""),
    -1: words("""bad disappointing boring dull weak poor annoying bland unpleasant tedious confusing
        unreliable uncomfortable frustrating clumsy forgettable shoddy tiresome careless overpriced"""),
    -2: words("""awful terrible horrible dreadful disgusting atrocious unbearable useless pathetic abysmal
        hideous appalling horrendous disastrous miserable worthless ghastly insulting vile lousy"""),
}
_ASPECTS = words("""film plot acting soundtrack ending dialogue cast script camera screen battery keyboard design
    software update food soup pasta dessert coffee service waiter menu room bed breakfast staff pool
    lobby location story writing chapter cover music concert album jacket fabric delivery packaging
    price website app interface game level support manual museum tour guide flight seat train cabin
    driver lesson teacher course book novel series episode restaurant hotel phone laptop printer bag
    chair sofa lamp watch headset toy garden view pizza salad wine bread cake beach""")
_VERBS: dict[int, tuple[str, ...]] = {
    2: ("loved", "adored", "was thrilled by", "was blown away by", "fell in love with"),
    1: ("liked", "enjoyed", "appreciated", "was pleased with", "was happy with"),
    -1: ("disliked", "was bored by", "was annoyed by", "was let down by", "regretted"),
    -2: ("hated", "despised", "loathed", "was disgusted by", "could not stand"),
}
_IDIOMS: dict[int, tuple[str, ...]] = {
    2: (
        "worth every penny", "five stars", "I could not be happier", "best purchase of the year",
        "I would recommend it to everyone", "a masterpiece", "a joy from start to finish",
        "what a treat", "I can not stop smiling 😀", "simply the best ❤️", "10 out of 10",
    ),
    1: (
        "no complaints", "well done", "I would come again", "money well spent", "thumbs up 👍",
        "it does what it promises", "we had a good time", "better than expected", "I smiled 🙂",
        "it works well", "recommended",
    ),
    -1: (
        "not worth the money", "I expected more", "never again", "a waste of time", "thumbs down 👎",
        "I want a refund", "it stopped working", "we left early", "I would not recommend it",
        "worse than expected", "it broke after a week",
    ),
    -2: (
        "the worst purchase of my life", "one star", "a complete disaster", "stay away",
        "an insult to every customer", "I am furious 😡", "total garbage", "what a nightmare",
        "it ruined our holiday", "it made me sick 🤮", "0 out of 10",
    ),
}  # fmt: skip
_MILD = (
    "average", "okay", "ordinary", "so so", "acceptable", "nothing special", "neither good nor bad",
    "standard", "typical", "middling", "as expected", "unremarkable",
)  # fmt: skip
_RULES: dict[str, tuple[str, ...]] = {
    "day": words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday"),
    "month": words("January March April May June July August October November"),
    "number": words("two three four five six seven eight ten twelve twenty"),
    "colour": words("red blue green black white grey brown yellow"),
    "relative": words("brother sister mother father uncle aunt cousin neighbour friend"),
    "time": ("{day}", "{month}", "last {month}", "a {day} in {month}", "a {day} evening"),
    "fact": (
        "the {aspect} arrived on {day}",
        "I bought it in {month} for my {relative}",
        "it comes in {colour} and {colour}",
        "we stayed for {number} nights",
        "the {aspect} and the {aspect} are listed on the second page",
        "my {relative} told me about the {aspect} on {day}",
        "the box contains {number} parts and a {colour} cable",
        "we went there in {month} with my {relative}",
        "this is about the {aspect}",
        "I ordered the {aspect} on {time}",
        "the {aspect} is {colour}",
        "the {aspect} was made in {month}",
        "there are {number} of them in the {aspect}",
        "it opens at {number} on {day}",
        "I used the {aspect} for {number} days",
        "my {relative} has the same {aspect} in {colour}",
        "the {aspect} lasts {number} hours",
    ),
    "verdict_subject": ("the {aspect}", "this {aspect}", "their {aspect}", "the {aspect} on {day}"),
    "intensifier": ("really", "very", "so", "truly", "quite", "absolutely", "just", "pretty"),
    "i": ("I", "we", "my {relative}", "everyone", "I"),
}


@dataclass(frozen=True, slots=True)
class Clause:
    """A piece of a review; `score` is None for a fact."""

    text: str
    score: float | None


@dataclass(frozen=True, slots=True)
class Review:
    text: str
    stars: float  # 1 to 5
    sentiment: str  # negative | neutral | positive


def _rules(rng: Random, split: Split) -> dict[str, tuple[str, ...]]:
    """The rules with the nouns of one side; a fifth of the training nouns are invented."""
    nouns = part(_ASPECTS, split)
    if split == "train":
        nouns += tuple(invented(rng) for _ in range(len(nouns) // 4))
    return {**_RULES, "aspect": nouns}


def _fact(rng: Random, rules: dict[str, tuple[str, ...]]) -> Clause:
    return Clause(expand("{fact}", rules, rng), None)


def _mild(rng: Random, rules: dict[str, tuple[str, ...]]) -> Clause:
    form = rng.choice(("{verdict_subject} was %s", "{verdict_subject} is %s", "it was %s", "%s"))
    return Clause(expand(form % rng.choice(_MILD), rules, rng), 0.0)


def _adjective(rng: Random, rules: dict[str, tuple[str, ...]], score: int) -> Clause:
    word = rng.choice(_ADJECTIVES[score])
    form = rng.choice(
        (
            "{verdict_subject} was %s", "{verdict_subject} is %s", "{verdict_subject} was {intensifier} %s",
            "what a(n) %s {aspect}", "{i} found the {aspect} {intensifier} %s", "{intensifier} %s {aspect}",
            "a(n) %s {aspect}", "such a(n) %s {aspect}", "{verdict_subject} looks {intensifier} %s", "%s", "it is %s",
            "a(n) %s {aspect} with a(n) %s {aspect}", "how %s",
        )
    )  # fmt: skip
    if form.count("%s") == 2:
        words: tuple[str, ...] = (word, rng.choice(_ADJECTIVES[score]))
        return Clause(expand(form % words, rules, rng), score)
    return Clause(expand(form % word, rules, rng), score)


def _negated(rng: Random, rules: dict[str, tuple[str, ...]], score: int) -> Clause:
    """A clause whose opinion is `score`, said by denying the opposite."""
    word = rng.choice(_ADJECTIVES[-score])
    form = rng.choice(
        (
            "{verdict_subject} was not %s", "{verdict_subject} is not %s at all", "{verdict_subject} was never %s",
            "{verdict_subject} isn't %s", "{i} did not find the {aspect} %s", "there is nothing %s about the {aspect}",
            "it is anything but %s", "{verdict_subject} was far from %s", "hardly a(n) %s {aspect}", "not %s",
        )
    )  # fmt: skip
    return Clause(expand(form % word, rules, rng), float(1 if score > 0 else -1))


def _verb(rng: Random, rules: dict[str, tuple[str, ...]], score: int) -> Clause:
    form = rng.choice(("I %s the {aspect}", "I {intensifier} %s it", "my {relative} %s the {aspect}", "I %s it"))
    word = rng.choice(_VERBS[score])
    if "{intensifier}" in form and (word.startswith(("was", "could", "fell"))):
        form = "I %s it"
    if "{intensifier}" in form:
        form = form.replace("{intensifier}", rng.choice(("really", "truly", "absolutely", "just")))
    return Clause(expand(form % word, rules, rng), score)


def _idiom(rng: Random, rules: dict[str, tuple[str, ...]], score: int) -> Clause:
    del rules
    return Clause(rng.choice(_IDIOMS[score]), score)


_OPINIONS = {_adjective: 5.0, _negated: 2.0, _verb: 2.0, _idiom: 2.0}


def _opinion(rng: Random, rules: dict[str, tuple[str, ...]], score: int) -> Clause:
    return pick(rng, _OPINIONS)(rng, rules, score)


def review(rng: Random, split: Split) -> Review:
    """One review of one to four sentences; drawn again while its sentiment is not clear."""
    rules = _rules(rng, split)
    while True:
        leaning = rng.choice((2, 1, 0, 0, -1, -2))
        scores: list[float] = []
        sentences = []
        for _ in range(rng.choice((1, 1, 2, 2, 3, 4))):
            text, score = _sentence(rng, rules, leaning)
            scores.extend(score)
            sentences.append(text)
        mean = sum(scores) / len(scores) if scores else 0.0
        if 0.15 < abs(mean) < 0.6 or (abs(mean) <= 0.15 and any(scores)):
            continue
        label = "neutral" if abs(mean) <= 0.15 else "positive" if mean > 0 else "negative"
        return Review(" ".join(sentences), round(3.0 + mean, 2), label)


def _sentence(rng: Random, rules: dict[str, tuple[str, ...]], leaning: int) -> tuple[str, list[float]]:
    """One sentence, and the scores it adds; of two opposed clauses only the deciding one does."""
    kind = pick(rng, {"opinion": 6.0, "fact": 2.0, "contrast": 2.0, "both": 1.0})
    if leaning == 0:
        clause = _mild(rng, rules) if rng.random() < 0.35 else _fact(rng, rules)
        return _finish(rng, clause.text), [] if clause.score is None else [clause.score]
    if kind == "fact":
        return _finish(rng, _fact(rng, rules).text), []
    score = leaning if rng.random() < 0.75 else (leaning // abs(leaning)) * rng.choice((1, 2))
    main = _opinion(rng, rules, score)
    if main.score is None:
        raise AssertionError("an opinion without a score")
    if kind == "contrast":
        other = _opinion(rng, rules, -rng.choice((1, 1, 2)) * (leaning // abs(leaning)))
        form = rng.choice(("%s, but %s", "although %s, %s", "even if %s, %s", "%s; however, %s"))
        return _finish(rng, form % (other.text, main.text)), [main.score]
    if kind == "both":
        joined = rng.choice(("%s and %s", "%s, and %s", "%s: %s")) % (main.text, _fact(rng, rules).text)
        return _finish(rng, joined), [main.score]
    return _finish(rng, main.text), [main.score]


def _finish(rng: Random, text: str) -> str:
    mark = rng.choice((".", ".", ".", ".", "!", "", "..."))
    text = articles(text)
    return (sentence(text) if rng.random() < 0.9 else text) + mark
