"""Tokenizers that transformers has in Python only: what is written gives its ids and its texts, whatever the text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onnxpress.errors import InputError
from onnxpress.tokenizer import Tokenizer, Truncation
from onnxpress_exporter.checkpoint import load_tokenizer, open_checkpoint
from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.quiet import quiet
from onnxpress_exporter.tokenizers import tokenizer_settings, write_tokenizer
from tests.fixtures.slow_tokenizers import slow_tokenizer
from tests.fixtures.tiny_tokenizers import WORDS

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "marian": ("marian", {"codes": ("fr", "deu_Latn", "zh")}),
    "marian-bpe": ("marian", {"model": "bpe"}),
    "marian-identity": ("marian", {"rule": "identity"}),
    "marian-two-vocabularies": ("marian", {"separate_vocabs": True}),
    "m2m100": ("m2m100", {}),
    "m2m100-unigram": ("m2m100", {"model": "unigram", "marked": False, "rule": "nmt_nfkc_cf"}),
    "speech_to_text": ("speech_to_text", {}),
    "blenderbot_small": ("blenderbot_small", {}),
    "byt5": ("byt5", {}),
}

# Where tokenizers differ: composition, spaces, what sentencepiece escapes, ties, codes, special tokens, their variants.
_PIECES = (
    *("e", "A", "o", "\u0301", "\u0302", "\u0323", "\u0308", "\u212b", "\uff21", "\u304b", "\u3099", "\u1100", "\u1161"),
    *("\u11a8", "\uac00", "\uff76", "\uff9e", "\ufb01", "\u00bd", "\ufdfa", "\u0e33", "\u200d", "\ufe0f", "\u00ad"),
    *(" ", "  ", "\t", "\n", "\r\n", "\u00a0", "\u2028", "\u3000", "\x00", "\x07", "\x1c", "\x85", "\u200b", "\ufeff"),
    *("▁", "▁▁", "1", "11", "l", "ll", ".", "...", "-", "|", ",", "'", "''", "!", "?!", "(", ")", "n't", "it's", "\"", "_"),
    *(">>fr<<", ">>zz<<", ">>", "<<", ">>deu_Latn<< ", "@@", "</w>", "__newln__", "<0x41>", "\uff1c/s\uff1e", "\u226f"),
    *("</s>", "<s>", "<unk>", "<pad>", "__en__", "__fr__", "__unk__", "__end__", "__null__", "<extra_id_0>", "\u0338"),
    *("Σ", "ΑΣ", "σς", "İ", "ß", "ẞ", "ǅ", "你好", "日本", "Привет", "🙂", "🇩🇪", "☃", "\U000e0001", "\ud7a3", "\ufffd"),
    *WORDS[:20],
)
TEXTS = st.one_of(
    st.lists(st.sampled_from(_PIECES), max_size=16).map("".join),
    st.lists(st.sampled_from((*WORDS, *_PIECES)), max_size=10).map(" ".join),
    st.text(max_size=30),
)
EXAMPLES = settings(max_examples=1500, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with quiet():
        yield


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Any, Tokenizer]]:
    """transformers' tokenizer of a case, read from files, and the runtime's, read from what was written."""
    made: dict[str, tuple[Any, Tokenizer]] = {}

    def make(name: str) -> tuple[Any, Tokenizer]:
        if name not in made:
            kind, options = CASES[name]
            folder = tmp_path_factory.mktemp(name)
            with quiet():
                theirs = slow_tokenizer(kind, folder, **options)
                write_tokenizer(theirs, folder)
            made[name] = theirs, Tokenizer(folder / "tokenizer.json", tokenizer_settings(theirs, None))
        return made[name]

    return make


@pytest.mark.parametrize("name", CASES)
def test_ids_of_any_text(name: str, pair: Callable[[str], tuple[Any, Tokenizer]]) -> None:
    theirs, ours = pair(name)

    @EXAMPLES
    @given(TEXTS)
    def same(text: str) -> None:
        assert ours.encode(text).ids == theirs(text).input_ids
        assert ours.encode(text, special_tokens=False).ids == theirs(text, add_special_tokens=False).input_ids

    same()


@pytest.mark.parametrize("name", CASES)
def test_text_of_any_ids(name: str, pair: Callable[[str], tuple[Any, Tokenizer]]) -> None:
    theirs, ours = pair(name)
    side = ours.target.settings.segmentation
    assert side is not None

    @EXAMPLES
    @given(st.lists(st.integers(0, side.vocabulary - 1), max_size=24), st.booleans())
    def same(ids: list[int], skip: bool) -> None:
        assert ours.decode(ids, skip_special_tokens=skip) == theirs.decode(ids, skip_special_tokens=skip)

    same()
