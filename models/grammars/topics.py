"""Texts about none, one or more of ten topics: for multi-label and for zero-shot classification.

Every topic has its nouns, its verbs and its phrases; sentences about nothing in particular and
invented words stand between them. Held-out texts have new names and new sentences, but the same
nouns: nothing tells the topic of a noun never seen. It knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from grammars.core import Split, expand, invented, sentence, words
from grammars.names import names

_NOUNS: dict[str, tuple[str, ...]] = {
    "sports": words("""goal striker referee stadium tournament goalkeeper league penalty coach athlete medal sprint
        marathon racket wrestler gymnast swimmer cyclist hurdle trophy defender midfielder batsman relay javelin
        boxer playoff scoreboard dribble offside"""),
    "politics": words("""election minister parliament senator ballot treaty diplomat coalition referendum candidate
        president embassy campaign constitution voter cabinet opposition chancellor decree lawmaker sanction
        governor ambassador mandate veto congress manifesto constituency delegate protest"""),
    "business": words("""profit merger shareholder investor revenue bank startup inflation factory market stock retailer
        supplier invoice dividend loan budget tariff takeover export wholesale bankruptcy accountant broker
        mortgage franchise auditor subsidiary payroll turnover"""),
    "science": words("""experiment telescope molecule physicist laboratory particle fossil galaxy hypothesis microscope
        chromosome neutron asteroid enzyme comet theory chemist isotope biologist orbit genome quasar electron
        geologist spectrum mutation gravity crystal catalyst astronomer"""),
    "technology": words("""software processor smartphone robot algorithm server browser database programmer sensor chip
        password keyboard network firmware encryption laptop website code cloud hacker compiler drone router
        touchscreen update chatbot malware interface bandwidth"""),
    "health": words("""patient surgeon vaccine hospital symptom diabetes nurse therapy virus antibiotic clinic infection
        diagnosis blood fever medicine allergy pharmacy tumour bandage epidemic dentist asthma vitamin injection
        physician cough transplant insulin migraine"""),
    "food": words("""recipe soup chef bakery dessert garlic sauce oven pasta kitchen salad cheese butter spice noodle
        dumpling roast flavour menu pepper onion chocolate pastry stew broth waffle vinegar casserole pancake
        marinade"""),
    "travel": words("""passport luggage airport hotel tourist cruise itinerary suitcase backpacker souvenir visa flight
        hostel excursion sightseeing resort ferry customs boarding guidebook caravan stopover campsite voyage
        tollbooth beach terminal booking departure ticket"""),
    "music": words("""guitar orchestra melody singer violin album concert drummer choir rhythm composer piano opera band
        chorus lyrics trumpet symphony soprano ballad pianist microphone jazz tenor bassist harmony conductor
        playlist saxophone encore"""),
    "nature": words("""forest river mountain eagle whale meadow glacier wolf volcano rainforest butterfly lake otter
        valley coral wildflower bear owl desert moss salmon waterfall beaver swamp squirrel orchid canyon fern
        heron cliff"""),
}
_PHRASES: dict[str, tuple[str, ...]] = {
    "sports": (
        "won the final",
        "scored twice",
        "lost by two points",
        "broke the world record",
        "trained for the match",
        "kicked the ball",
    ),
    "politics": (
        "passed the law",
        "won the vote",
        "gave a speech to the nation",
        "resigned from office",
        "raised taxes",
        "debated the bill",
    ),
    "business": (
        "cut prices",
        "hired new staff",
        "raised its sales forecast",
        "signed the contract with a buyer",
        "earned millions",
        "sold its shares",
    ),
    "science": (
        "published the findings",
        "measured the temperature of a star",
        "confirmed the discovery",
        "tested the theory",
        "analysed the samples",
    ),
    "technology": (
        "crashed after the download",
        "runs on a new operating system",
        "processes data faster",
        "fixed the bug",
        "stores files online",
    ),
    "health": (
        "recovered after the treatment",
        "felt pain in the chest",
        "reduced the risk of disease",
        "took two pills a day",
        "cured the illness",
    ),
    "food": (
        "tasted of lemon and salt",
        "was baked for an hour",
        "was served with rice",
        "smelled of fresh bread",
        "was fried in oil",
    ),
    "travel": (
        "arrived at the border",
        "booked a room by the sea",
        "spent the holiday abroad",
        "missed the train",
        "packed for the journey",
    ),
    "music": (
        "played a quiet song",
        "sang on the stage",
        "recorded a new tune",
        "danced to the beat",
        "tuned the strings",
    ),
    "nature": (
        "grew near the stream",
        "hunted at dawn",
        "nested in the trees",
        "froze during the long winter",
        "crossed the wild plains",
    ),
}
TOPICS = tuple(_NOUNS)
# What people call the topics when they sort texts by them.
SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "sports": ("sports", "sport", "athletics"),
    "politics": ("politics", "government", "political affairs"),
    "business": ("business", "economy", "finance"),
    "science": ("science", "research", "scientific work"),
    "technology": ("technology", "computers", "computing"),
    "health": ("health", "medicine", "health care"),
    "food": ("food", "cooking", "cuisine"),
    "travel": ("travel", "tourism", "travelling"),
    "music": ("music", "songs", "musicians"),
    "nature": ("nature", "wildlife", "the environment"),
}
_RULES: dict[str, tuple[str, ...]] = {
    "day": words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday"),
    "adjective": words("new old large small famous strange quiet young local early second last favourite unknown"),
    "seen": ("saw", "talked about", "remembered", "described", "photographed", "asked about", "wrote about"),
    "about": (
        "the {noun} {phrase}",
        "the {adjective} {noun} {phrase}",
        "{name} {seen} the {noun}",
        "the {noun} and the {noun} were mentioned on {day}",
        "on {day}, the {noun} {phrase}",
        "{name} showed us a(n) {noun} and a(n) {noun}",
        "there was a(n) {adjective} {noun} in {town}",
        "my {noun} {phrase}",
        "{name} said that the {noun} {phrase}",
        "a(n) {noun} from {town} {phrase}",
        "a report on the {noun}, the {noun} and the {noun}",
        "why is the {noun} so {adjective}?",
        "{name} {phrase}",
        "they {phrase} in {town}",
        "what a(n) {adjective} {noun}",
        "the {word} of the {noun} {phrase}",
    ),
    "nothing": (
        "{name} called {name} on {day}",
        "it happened in {town} on {day}",
        "nobody answered the question",
        "we waited for an hour",
        "the {adjective} {word} was closed",
        "{name} lives near {town}",
        "that is all for today",
        "the rest is a long story",
        "here is what we know",
        "{name} smiled",
        "the {word} belongs to {name}",
        "it was a(n) {adjective} {word}",
        "she read the {adjective} letter twice",
        "the meeting began on {day}",
        "the {adjective} chair stood next to the table",
    ),
}


@dataclass(frozen=True, slots=True)
class Topical:
    text: str
    topics: tuple[str, ...]  # in the order of TOPICS


def nouns(topic: str) -> tuple[str, ...]:
    """The nouns that tell of `topic`."""
    return _NOUNS[topic]


def topical(rng: Random, split: Split, count: int | None = None) -> Topical:
    """One to four sentences on `count` topics, drawn when not given; 0 means on nothing."""
    if count is None:
        count = rng.choice((0, 1, 1, 1, 2, 2, 3))
    chosen = rng.sample(TOPICS, count)
    sentences = [_about(rng, split, topic) for topic in chosen]
    while len(sentences) < max(1, count) or (len(sentences) < 4 and rng.random() < 0.3):
        if chosen and rng.random() < 0.4:
            sentences.append(_about(rng, split, rng.choice(chosen)))
        else:
            sentences.append(_sentence(rng, split, "{nothing}", {}))
    rng.shuffle(sentences)
    return Topical(" ".join(sentences), tuple(topic for topic in TOPICS if topic in chosen))


def _about(rng: Random, split: Split, topic: str) -> str:
    return _sentence(rng, split, "{about}", {"noun": _NOUNS[topic], "phrase": _PHRASES[topic]})


def _sentence(rng: Random, split: Split, template: str, more: dict[str, tuple[str, ...]]) -> str:
    known = names(split)
    words = tuple(invented(rng) for _ in range(3))
    people = (*rng.sample(known.given, 3), words[0].capitalize())
    towns = (*rng.sample(known.cities, 3), words[1].capitalize())
    rules = {**_RULES, **more, "name": people, "town": towns, "word": words}
    text = sentence(expand(template, rules, rng))
    return text if text.endswith("?") else text + rng.choice((".", ".", ".", "!"))
