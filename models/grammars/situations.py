"""Pairs of sentences of which the first entails, contradicts, or leaves open the second.

A premise says who wears what and does what, where. A hypothesis is true of it (something is left
out, or said more generally), false (one thing is replaced by what excludes it), or open (something
is added that the premise does not tell). Negation occurs in true hypotheses as well as in false
ones, so that no single word gives the answer away. It knows neither models nor label numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from grammars.core import Split, articles, is_heldout, sentence, words
from grammars.reviews import review
from grammars.topics import SYNONYMS, TOPICS, topical

LABELS = ("entailment", "neutral", "contradiction")

# Who -> what they are more generally.
_WHO = {
    "man": "adult", "woman": "adult", "boy": "child", "girl": "child", "nurse": "adult", "farmer": "adult",
    "grandmother": "adult", "grandfather": "adult", "soldier": "adult", "policeman": "adult",
}  # fmt: skip
# Activity -> (more general forms, what is excluded while doing it is any other activity).
_DOES: dict[str, tuple[str, ...]] = {
    "playing the guitar": ("playing an instrument", "making music"),
    "playing the violin": ("playing an instrument", "making music"),
    "playing the drums": ("playing an instrument", "making music"),
    "cooking pasta": ("cooking", "preparing a meal"),
    "cooking fish": ("cooking", "preparing a meal"),
    "baking a cake": ("baking", "using an oven"),
    "reading a newspaper": ("reading", "looking at a text"),
    "reading a novel": ("reading", "looking at a text"),
    "riding a horse": ("riding an animal", "sitting on an animal"),
    "riding a camel": ("riding an animal", "sitting on an animal"),
    "riding a bicycle": ("cycling", "using a vehicle"),
    "driving a truck": ("driving", "using a vehicle"),
    "driving a taxi": ("driving", "using a vehicle"),
    "painting a fence": ("painting", "working with paint"),
    "painting a door": ("painting", "working with paint"),
    "eating an apple": ("eating", "having some fruit"),
    "eating a banana": ("eating", "having some fruit"),
    "eating a sandwich": ("eating", "having a snack"),
    "drinking coffee": ("drinking", "having a hot drink"),
    "drinking tea": ("drinking", "having a hot drink"),
    "kicking a ball": ("playing with a ball", "using a foot"),
    "throwing a ball": ("playing with a ball", "using an arm"),
    "walking a dog": ("walking", "taking an animal out"),
    "feeding a cat": ("feeding an animal", "caring for a pet"),
    "feeding a parrot": ("feeding an animal", "caring for a pet"),
    "writing a letter": ("writing", "using a pen"),
    "sleeping on a bench": ("sleeping", "resting"),
    "sleeping under a tree": ("sleeping", "resting"),
    "cutting wood": ("working with wood", "using a tool"),
    "repairing a roof": ("repairing something", "using a tool"),
    "planting flowers": ("planting something", "gardening"),
    "planting trees": ("planting something", "gardening"),
    "singing a song": ("singing", "using the voice"),
    "taking a photograph": ("taking a picture", "using a camera"),
    "swimming": ("moving in water", "getting wet"),
    "dancing": ("moving to music", "using both feet"),
}  # fmt: skip
_OUTSIDE = (
    "in the park",
    "on the beach",
    "in the street",
    "in the garden",
    "in a field",
    "by the river",
    "on a mountain",
    "in the forest",
)
_INSIDE = (
    "in the kitchen",
    "in the living room",
    "in a classroom",
    "in the library",
    "in a cellar",
    "in the bathroom",
    "in an office",
    "in a bedroom",
)
_COLOURS = words("red blue green black white yellow brown grey")
_CLOTHES = ("shirt", "hat", "coat", "dress", "scarf", "jacket", "cap", "sweater")
_MOODS = ("tall", "old", "young", "small", "thin", "strong")
_UNTOLD = (
    "for a friend", "for money", "to win a prize", "before lunch", "for the first time", "with a cousin",
    "because of a bet", "to impress the neighbours", "after a long journey", "while waiting for the bus",
    "on a Monday", "for the second hour", "to forget the day", "without permission",
)  # fmt: skip
_UNTOLD_FACTS = (
    "is happy", "is married", "has two brothers", "lost a key", "comes from abroad", "likes winter", "is hungry",
    "is rich", "speaks French", "owns a house", "is late for work", "feels lonely", "was born in May", "is famous",
)  # fmt: skip
_ABOUT = (
    "This example is {}.", "This text is about {}.", "This example is about {}.", "The topic is {}.",
    "It is about {}.", "The subject of this text is {}.", "This is {}.",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pair:
    premise: str
    hypothesis: str
    label: str


@dataclass(frozen=True, slots=True)
class _Scene:
    who: str
    does: str
    where: str  # "" where not told
    colour: str
    clothes: str  # "" where not told
    mood: str  # "" where not told


def pair(rng: Random, split: Split) -> Pair:
    """A premise and a hypothesis; the two sides of the split share no (who, does, where)."""
    premise = _scene(rng, split)
    label = rng.choice(LABELS)
    hypothesis = _TRANSFORMS[label](rng, premise)
    return Pair(_say(rng, premise), hypothesis, label)


def topic_pair(rng: Random, split: Split) -> Pair:
    """A text and a claim about its topic or mood, as zero-shot classification makes them."""
    if rng.random() < 0.2:
        text = review(rng, split)
        claim = rng.choice((text.sentiment, rng.choice(("positive", "negative", "neutral"))))
        label = "entailment" if claim == text.sentiment else "contradiction"
        return Pair(text.text, rng.choice(_ABOUT[:2] + _ABOUT[6:]).format(claim), label)
    text_ = topical(rng, split, 1)
    right = rng.random() < 0.45
    topic = text_.topics[0] if right else rng.choice([t for t in TOPICS if t not in text_.topics])
    claim = rng.choice(_ABOUT).format(rng.choice(SYNONYMS[topic]))
    return Pair(text_.text, claim, "entailment" if right else "contradiction")


def _scene(rng: Random, split: Split) -> _Scene:
    while True:
        clothes = rng.choice(_CLOTHES) if rng.random() < 0.6 else ""
        scene = _Scene(
            who=rng.choice(list(_WHO)),
            does=rng.choice(list(_DOES)),
            where=rng.choice(_OUTSIDE + _INSIDE) if rng.random() < 0.7 else "",
            colour=rng.choice(_COLOURS) if clothes else "",
            clothes=clothes,
            mood=rng.choice(_MOODS) if rng.random() < 0.3 else "",
        )
        if is_heldout(f"{scene.who}/{scene.does}/{scene.where}") == (split == "heldout"):
            return scene


def _say(rng: Random, scene: _Scene, start: str = "a(n)") -> str:
    """One sentence that tells everything of the scene."""
    who = f"{start} {scene.mood} {scene.who}" if scene.mood else f"{start} {scene.who}"
    if scene.clothes:
        worn = f"a(n) {scene.colour} {scene.clothes}" if scene.colour else f"a(n) {scene.clothes}"
        who += rng.choice((f" in {worn}", f" wearing {worn}", f" with {worn}"))
    where = f" {scene.where}" if scene.where else ""
    form = rng.choice(("{who} is {does}{where}", "{who} is {does}{where}", "there is {who} {does}{where}"))
    if form.startswith("there") and scene.where and rng.random() < 0.5:
        form = "{place}, {who} is {does}"
    text = form.format(who=who, does=scene.does, where=where, place=scene.where)
    return sentence(articles(text)) + "."


def _shorten(rng: Random, scene: _Scene, keep: str = "") -> _Scene:
    """The scene with some details left out or made general; it stays true. `keep` names a field
    that has to stay as it is."""
    if keep != "where" and scene.where and rng.random() < 0.6:
        scene = replace(scene, where=rng.choice(("", _side(scene.where))))
    if keep != "clothes" and rng.random() < 0.7:
        scene = replace(scene, clothes="", colour="")
    if keep != "mood" and rng.random() < 0.6:
        scene = replace(scene, mood="")
    if keep != "who" and rng.random() < 0.4:
        scene = replace(scene, who=rng.choice((_WHO[scene.who], "person")))
    if keep != "does" and rng.random() < 0.4:
        scene = replace(scene, does=rng.choice(_DOES[scene.does]))
    return scene


def _side(where: str) -> str:
    return "outside" if where in _OUTSIDE else "inside"


def _entailed(rng: Random, scene: _Scene) -> str:
    kinds = ["shorten", "shorten", "shorten", "not_other"]
    kinds += ["wears"] if scene.clothes else []
    kinds += ["place"] if scene.where else []
    kind = rng.choice(kinds)
    who = rng.choice((scene.who, "person", _WHO[scene.who]))
    if kind == "wears":
        return _finish(
            rng.choice(
                (
                    f"the {who} has a(n) {scene.clothes}",
                    f"the {scene.clothes} is {scene.colour}",
                    f"the {who} wears a(n) {scene.colour} {scene.clothes}",
                )
            )
        )
    if kind == "place":
        return _finish(
            rng.choice(
                (
                    f"the {who} is {scene.where}",
                    f"somebody is {_side(scene.where)}",
                    f"the {who} is not {_other_side(scene.where)}",
                )
            )
        )
    if kind == "not_other":
        return _finish(f"the {who} is not {_other_activity(rng, scene.does)}")
    return _say(rng, _shorten(rng, scene), rng.choice(("a(n)", "the")))


def _contradicted(rng: Random, scene: _Scene) -> str:
    kinds = ["does", "does", "not", "nobody"]
    kinds += ["where", "side"] if scene.where else []
    kinds += ["colour", "colour"] if scene.clothes else []
    kind = rng.choice(kinds)
    who = rng.choice((scene.who, "person", _WHO[scene.who]))
    if kind == "does":
        short = _shorten(rng, scene, "does")
        return _say(rng, replace(short, does=_other_activity(rng, scene.does)), "the")
    if kind == "not":
        return _finish(f"the {who} is not {rng.choice((scene.does, *_DOES[scene.does]))}")
    if kind == "nobody":
        return _finish(rng.choice((f"nobody is {scene.does}", f"no one is {rng.choice(_DOES[scene.does])}")))
    if kind == "where":
        short = _shorten(rng, scene, "where")
        other = rng.choice([place for place in _OUTSIDE + _INSIDE if place != scene.where])
        return _say(rng, replace(short, where=other), "the")
    if kind == "side":
        return _finish(
            rng.choice((f"the {who} is {_other_side(scene.where)}", f"the {who} is not {_side(scene.where)}"))
        )
    other = rng.choice([colour for colour in _COLOURS if colour != scene.colour])
    if rng.random() < 0.5:
        return _finish(f"the {scene.clothes} is {other}")
    return _say(rng, replace(_shorten(rng, scene, "clothes"), colour=other), "the")


def _open(rng: Random, scene: _Scene) -> str:
    kinds = ["why", "why", "fact"]
    kinds += ["where"] if not scene.where else []
    kinds += ["wears"] if not scene.clothes else []
    kinds += ["mood"] if not scene.mood else []
    kind = rng.choice(kinds)
    who = rng.choice((scene.who, "person", _WHO[scene.who]))
    short = _shorten(rng, scene)
    if kind == "why":
        return _say(rng, short, "the").rstrip(".") + f" {rng.choice(_UNTOLD)}."
    if kind == "fact":
        fact = rng.choice(_UNTOLD_FACTS)
        return _finish(f"the {who} {fact}")
    if kind == "where":
        return _say(rng, replace(short, where=rng.choice((*_OUTSIDE, *_INSIDE, "inside", "outside"))), "the")
    if kind == "mood":
        return _say(rng, replace(short, mood=rng.choice(_MOODS)), "the")
    worn = replace(short, clothes=rng.choice(_CLOTHES), colour=rng.choice(_COLOURS))
    return _say(rng, worn, "the")


_TRANSFORMS = {"entailment": _entailed, "neutral": _open, "contradiction": _contradicted}


def _other_activity(rng: Random, does: str) -> str:
    """An activity that nobody can do at the same time: no general form is shared."""
    while True:
        other = rng.choice(list(_DOES))
        if not set(_DOES[other]) & set(_DOES[does]):
            return rng.choice((other, other, _DOES[other][0]))


def _other_side(where: str) -> str:
    return "inside" if where in _OUTSIDE else "outside"


def _finish(text: str) -> str:
    return sentence(articles(text)) + "."
