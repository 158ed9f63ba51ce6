"""The texts that every export is verified on: real sentences in many scripts, and the awkward ones.

They are inputs, not expectations: the expected outputs are PyTorch's. This module knows nothing of models.
"""

from __future__ import annotations

from dataclasses import dataclass

_LONG = (
    "The harbour town had two clocks, one on the church and one above the customs house, and for as long as anyone "
    "could remember they had disagreed by eleven minutes. Fishermen set out by the first and traders opened by the "
    "second, so that every morning had a quiet gap in which the quay belonged to the gulls. When the council finally "
    "voted to repair them, nobody could say which of the two was right, and the clockmaker, who was paid by the hour, "
    "suggested that they be averaged. "
)


@dataclass(frozen=True, slots=True)
class Sample:
    """One named input: a text, or a pair of texts."""

    name: str
    text: str
    pair: str | None = None


SINGLES: tuple[Sample, ...] = (
    Sample("short", "Good morning!"),
    Sample("one word", "yes"),
    Sample("sentence", "The library closes at six, but the reading room stays open until midnight."),
    Sample("question", "Who repaired the clock above the customs house in Bergen in 1894?"),
    Sample("names", "Angela Merkel met Tim Cook at Siemens in Berlin on 3 May 2019."),
    Sample("negative", "The battery died after two days and support never answered. I want my money back."),
    Sample("numbers and code", "x = 3.14159 * r**2  # costs $1,299.00 (20% off) at https://example.org/a?b=c&d=e"),
    Sample("accents", "Crème brûlée, naïve façade, Ångström, žluťoučký kůň, ¿dónde está?"),
    Sample("combining marks", "Cafe\u0301 re\u0301sume\u0301 a\u030angstro\u0308m"),
    Sample("emoji", "I love this 😍🔥👩‍👩‍👧‍👦 so much 🇳🇴!!"),
    Sample("Chinese and Japanese", "今天天气很好,我们去公园散步吧。昨日は東京で雨が降りました。"),
    Sample("Korean and Thai", "오늘 날씨가 정말 좋네요. วันนี้อากาศดีมาก"),
    Sample("right-to-left", "مرحبا بالعالم، كيف حالك اليوم؟ שלום עולם"),
    Sample("Devanagari and Cyrillic", "नमस्ते दुनिया, आज मौसम अच्छा है। Привет, мир!"),
    Sample("empty", ""),
    Sample("only spaces", "   \t  \n "),
    Sample("control characters", "zero\u200bwidth \u00a0 no-break \ufeff mark \u0007 bell"),
    Sample("paragraph", _LONG),
    Sample("beyond the limit", _LONG * 12),
)

PAIRS: tuple[Sample, ...] = (
    Sample("pair", "Where do the gulls gather?", "In the morning the quay belonged to the gulls."),
    Sample("pair, long second", "Which clock was right?", _LONG),
    Sample("pair, unicode", "ما عاصمة النرويج؟ 🇳🇴", "Oslo er hovedstaden i Norge, 奥斯陆。"),
    Sample("pair, blank second", "Is there an answer?", " "),
)


def far_text(tokens: int) -> str:
    """A text of that many tokens at least."""
    return _LONG * (1 + tokens // len(_LONG.split()))


def samples(*, pairs: bool, mask_token: str | None = None) -> tuple[Sample, ...]:
    """The samples for a task: with pairs where it takes them, with one word masked where it fills masks."""
    if mask_token is not None:
        return tuple(Sample(s.name, f"{s.text} {mask_token} .".strip()) for s in SINGLES)
    return SINGLES + PAIRS if pairs else SINGLES
