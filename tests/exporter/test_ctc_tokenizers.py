"""Tokenizers of moments: what is written decodes them as transformers does, and encodes texts as it does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxpress.errors import CorruptFile
from onnxpress.text.tokenizer import Tokenizer
from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.write.tokenizers import tokenizer_settings, write_tokenizer

_LETTERS = list("ETAONIHSRDLU'")
_LOWER = [letter.lower() for letter in _LETTERS]

#: Vocabularies, and settings of the tokenizer.
CASES: dict[str, tuple[list[str], dict[str, Any]]] = {
    "base": (["<pad>", "<s>", "</s>", "<unk>", "|", *_LETTERS], {}),
    "others first": ([*_LOWER, "|", "[UNK]", "[PAD]"], {"unk_token": "[UNK]", "pad_token": "[PAD]"}),
    "lower case": (["<pad>", "<s>", "</s>", "<unk>", "|", *_LETTERS], {"do_lower_case": True}),
    "phonemes": (["<pad>", "<s>", "</s>", "<unk>", "|", "a", "b", "aː", "tʃ", "ab"], {}),
    "no ends": (["<pad>", "<unk>", "|", "a", "b"], {"bos_token": None, "eos_token": None}),
    "other space": (["<pad>", "<s>", "</s>", "<unk>", "|", "a", ".", " "], {"replace_word_delimiter_char": "_"}),
    "spaces between": (["<pad>", "<s>", "</s>", "<unk>", " ", "a", "b"], {"word_delimiter_token": " "}),
    "cleaned up": (["<pad>", "<s>", "</s>", "<unk>", "|", "n", "'", "t", "."], {"clean_up_tokenization_spaces": True}),
}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Any, Tokenizer]]:
    """`both(case)` -> transformers' tokenizer and ours, which was written of it."""
    from transformers import Wav2Vec2CTCTokenizer

    opened: dict[str, tuple[Any, Tokenizer]] = {}

    def make(case: str) -> tuple[Any, Tokenizer]:
        if case not in opened:
            tokens, options = CASES[case]
            folder = tmp_path_factory.mktemp("ctc")
            (folder / "vocab.json").write_text(json.dumps({token: place for place, token in enumerate(tokens)}))
            theirs = Wav2Vec2CTCTokenizer(str(folder / "vocab.json"), **options)
            write_tokenizer(theirs, folder)
            settings = tokenizer_settings(theirs, {"model_type": "wav2vec2"})
            opened[case] = theirs, Tokenizer(folder / "tokenizer.json", settings)
        return opened[case]

    return make


@pytest.mark.parametrize("case", CASES)
@given(ids=st.lists(st.integers(0, 20), max_size=24), skip=st.booleans(), group=st.booleans())
def test_moments_become_the_same_text(
    both: Callable[[str], tuple[Any, Tokenizer]], case: str, ids: list[int], skip: bool, group: bool
) -> None:
    theirs, ours = both(case)
    expected = theirs.decode(ids, skip_special_tokens=skip, group_tokens=group)
    assert ours.decode(ids, skip_special_tokens=skip, group_tokens=group) == expected


@pytest.mark.parametrize("case", CASES)
@given(text=st.text(alphabet="ab eTaO'|<>s/.\u00e9", max_size=20))
def test_texts_become_the_same_ids(both: Callable[[str], tuple[Any, Tokenizer]], case: str, text: str) -> None:
    theirs, ours = both(case)
    assert ours.encode(text).ids == theirs(text)["input_ids"]


def test_a_vocabulary_for_each_language(tmp_path: Path) -> None:
    """MMS has a dictionary of them; the tokenizer is told which."""
    from transformers import Wav2Vec2CTCTokenizer

    tokens = {language: ["<pad>", "<unk>", "|", *letters] for language, letters in {"eng": "abc", "deu": "äöü"}.items()}
    vocabulary = {language: {token: place for place, token in enumerate(row)} for language, row in tokens.items()}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    for language, text in (("eng", "ab c"), ("deu", "äö ü")):
        theirs = Wav2Vec2CTCTokenizer(
            str(tmp_path / "vocab.json"), target_lang=language, bos_token=None, eos_token=None
        )
        write_tokenizer(theirs, tmp_path)
        ours = Tokenizer(tmp_path / "tokenizer.json", tokenizer_settings(theirs, {"model_type": "wav2vec2"}))
        ids = ours.encode(text).ids
        assert ids == theirs(text)["input_ids"]
        assert ours.decode(ids) == theirs.decode(ids) == text


def test_a_blank_there_must_be(tmp_path: Path) -> None:
    from transformers import Wav2Vec2CTCTokenizer

    (tmp_path / "vocab.json").write_text(json.dumps({"<unk>": 0, "a": 1}))
    without = Wav2Vec2CTCTokenizer(str(tmp_path / "vocab.json"), pad_token=None, bos_token=None, eos_token=None)
    with pytest.raises(UnsupportedCheckpoint, match="blank"):
        write_tokenizer(without, tmp_path)


def test_letters_have_their_settings(both: Callable[[str], tuple[Any, Tokenizer]]) -> None:
    from dataclasses import replace

    _, ours = both("base")
    assert ours.settings.segmentation is not None
    damaged = replace(ours.settings, segmentation=replace(ours.settings.segmentation, letters=None))
    with pytest.raises(CorruptFile, match="letters"):
        Tokenizer(ours.file, damaged)
