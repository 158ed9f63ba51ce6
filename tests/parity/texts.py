"""Texts for the differential tests, made by hypothesis: sentences, scripts, emoji, marks, control characters, mixed."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

#: The same examples in every run, so that a failure is a change and not a chance.
parity = settings(
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

SENTENCES = (
    "The battery died after two days and support never answered.",
    "Angela Merkel met Tim Cook in Berlin on Friday.",
    "I loved every minute of it!",
    "Maria Lindqvist of Norwell Bank moved to Oslo.",
    "It's O'Brien's — not “theirs” — isn't it?",
    "Costs $1,299.00 (20% off) at https://example.org/a?b=c&d=e",
    "El niño comió piñas en São Paulo.",
    "今天天气很好,我们去公园散步吧。",
    "昨日は東京で雨が降りました。",
    "오늘 날씨가 정말 좋네요.",
    "مرحبا بالعالم، كيف حالك اليوم؟",
    "שלום עולם, מה שלומך?",
    "नमस्ते दुनिया, आज मौसम अच्छा है।",
    "Привет, мир! Как дела?",
    "วันนี้อากาศดีมาก",
)
PIECES = (
    "😍",
    "👩‍👩‍👧‍👦",
    "🇳🇴",
    "👍🏽",
    "e\u0301",
    "a\u030a\u0323",
    "\u0301",
    "ﬁ",
    "ß",
    "İ",
    "Ａ",
    "\u200b",
    "\u200d",
    "\u202e",
    "\ufeff",
    "\u00a0",
    "\u3000",
    "\t",
    "\r\n",
    "\x00",
    "\x07",
    "\u2028",
    "[MASK]",
    "[SEP]",
    "[CLS]",
    "<s>",
    "##ing",
    "▁",
    "Ġ",
    "...",
    "-",
    "''",
    "𝔘𝔫𝔦",
    "�",
)

_word = st.sampled_from([word for sentence in SENTENCES for word in sentence.split()])
_part = st.one_of(_word, st.sampled_from(PIECES), st.sampled_from(SENTENCES), st.text(max_size=12))


def texts(*, min_parts: int = 0, max_parts: int = 8) -> st.SearchStrategy[str]:
    """Parts of all kinds, with or without spaces between them."""
    parts = st.lists(_part, min_size=min_parts, max_size=max_parts)
    return st.builds(lambda separator, found: separator.join(found), st.sampled_from([" ", "", "  "]), parts)
