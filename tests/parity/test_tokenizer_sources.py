"""Tokenizers without a tokenizer.json, built of their sources without transformers: they give transformers' ids."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from onnxpress.layouts.files import Files
from onnxpress.layouts.tokenizer_files import read_tokenizer
from onnxpress.text.tokenizer import Tokenizer
from onnxpress_exporter.quiet import quiet
from onnxpress_exporter.write.tokenizers import tokenizer_settings
from tests.fixtures.slow_tokenizers import slow_tokenizer, train_spm
from tests.fixtures.tiny_tokenizers import WORDS, tiny_tokenizer

_TEXTS = (
    *(" ".join(WORDS[start : start + 6]) for start in range(0, len(WORDS), 3)),
    "Ada lives in Rome and Oslo, near 12 rivers. naive café déjà vu Straße über 123,456 (why?)",
)
_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "<|endoftext|>", "<|startoftext|>"]
_BRACKETS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def word_pieces(folder: Path) -> None:
    letters = "abcdefghijklmnopqrstuvwxyzABCS0123456789é,.!?()'\"<>[]/-好日本ß"
    rows = [*_BRACKETS, *_SPECIAL, "hello", "world", *WORDS[:30], *letters, *(f"##{letter}" for letter in letters)]
    (folder / "vocab.txt").write_text("\n".join(dict.fromkeys(rows)) + "\n", encoding="utf-8")


@cache
def _byte_pairs() -> tuple[str, str]:
    from tokenizers import ByteLevelBPETokenizer

    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(_TEXTS, vocab_size=420, special_tokens=[*_SPECIAL, *_BRACKETS], show_progress=False)
    model = json.loads(trained.to_str())["model"]
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    return json.dumps(model["vocab"]), "\n".join(["#version: 0.2", *merges]) + "\n"


def byte_pairs(folder: Path) -> None:
    vocabulary, merges = _byte_pairs()
    (folder / "vocab.json").write_text(vocabulary)
    (folder / "merges.txt").write_text(merges)


def pieces(name: str, **options: Any) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / name).write_bytes(train_spm(*_TEXTS, vocab_size=140, **options))

    return write


_T5 = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}
_BERT = {
    "bos_id": 1,
    "eos_id": 2,
    "pad_piece": "[PAD]",
    "bos_piece": "[CLS]",
    "eos_piece": "[SEP]",
    "unk_piece": "[UNK]",
}
_ALBERT = {"pad_id": 0, "unk_id": 1, "bos_id": -1, "eos_id": -1, "user_defined_symbols": ["[CLS]", "[SEP]", "[MASK]"]}
_XLNET = {"user_defined_symbols": ["<cls>", "<sep>", "<pad>", "<mask>", "<eod>", "<eop>"]}

#: Class, the files of its sources, and what tokenizer_config.json says.
CASES: dict[str, tuple[str, Callable[[Path], None], Mapping[str, Any]]] = {
    "bert": ("BertTokenizer", word_pieces, {}),
    "bert, cased": ("BertTokenizerFast", word_pieces, {"do_lower_case": False}),
    "bert, accents": ("BertTokenizer", word_pieces, {"strip_accents": False, "tokenize_chinese_chars": False}),
    "distilbert": ("DistilBertTokenizer", word_pieces, {"strip_accents": True}),
    "mpnet": ("MPNetTokenizer", word_pieces, {}),
    "roberta": ("RobertaTokenizer", byte_pairs, {"add_prefix_space": True}),
    "bart": (
        "BartTokenizer",
        byte_pairs,
        {"mask_token": {"__type": "AddedToken", "content": "<mask>", "lstrip": True}},
    ),
    "gpt2": ("GPT2Tokenizer", byte_pairs, {"pad_token": "[NEW]"}),
    "opt": ("GPT2Tokenizer", byte_pairs, {"add_bos_token": True, "bos_token": "</s>"}),
    "qwen2": ("Qwen2Tokenizer", byte_pairs, {}),
    "deberta": ("DebertaTokenizer", byte_pairs, {}),
    "clip": ("CLIPTokenizer", byte_pairs, {}),
    "xlm-roberta": ("XLMRobertaTokenizer", pieces("sentencepiece.bpe.model"), {}),
    "xlm-roberta, added": ("XLMRobertaTokenizer", pieces("sentencepiece.bpe.model"), {"extra_special_tokens": ["<x>"]}),
    "camembert": ("CamembertTokenizer", pieces("sentencepiece.bpe.model"), {}),
    "t5": ("T5Tokenizer", pieces("spiece.model", **_T5), {}),
    "t5, few sentinels": ("T5Tokenizer", pieces("spiece.model", **_T5), {"extra_ids": 4}),
    "albert": ("AlbertTokenizer", pieces("spiece.model", **_ALBERT), {"keep_accents": True}),
    "xlnet": ("XLNetTokenizer", pieces("spiece.model", **_XLNET), {}),
    "deberta-v2": ("DebertaV2Tokenizer", pieces("spm.model", pad_id=0, unk_id=3, **_BERT), {"split_by_punct": True}),
}

#: Slow classes, and how `tests.fixtures.slow_tokenizers` makes their files.
SLOW: dict[str, tuple[str, dict[str, Any]]] = {
    "marian": ("marian", {"codes": ("fr", "deu_Latn", "zh")}),
    "marian-bpe": ("marian", {"model": "bpe"}),
    "marian-two-vocabularies": ("marian", {"separate_vocabs": True}),
    "m2m100": ("m2m100", {}),
    "m2m100-unigram": ("m2m100", {"model": "unigram", "marked": False, "rule": "nmt_nfkc_cf"}),
}

_PARTS = (
    *("hello", "World", "Rome", "don't", "1,234", "``x''", " ", "  ", "\t", "\n", "é", "e\u0301", "好", "日本", "ﬁ"),
    *("İ", "ß", "🙂", "\u200b", "\u00a0", "\x00", "\u2028", "\u3000", "▁", "▁the", "`", "...", "ΟΔΥΣΣΕΥΣ", "\ufeff"),
    *("__en__", "__fr__", ">>fr<<", ">>xx<<", "111", "1,110.50"),
    *(*_SPECIAL, *_BRACKETS, "<extra_id_3>", "<eop>", "<cls>", "<sep>", "<x>"),
)
_STRINGS = st.lists(st.sampled_from(_PARTS) | st.text(max_size=4), max_size=8).map("".join)


@cache
def opened(name: str, folder: Path) -> tuple[Any, Tokenizer]:
    kind, write, config = CASES[name]
    folder.mkdir()
    write(folder)
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": kind, **config}))
    theirs = AutoTokenizer.from_pretrained(folder)
    files = Files(folder)
    read = read_tokenizer(files, {}, ())
    return theirs, Tokenizer(files.place(read.file), read, files.elsewhere)


@pytest.mark.parametrize("name", CASES)
def test_ids_are_those_of_transformers(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONNXPRESS_CACHE", str(tmp_path / "cache"))
    theirs, ours = opened(name, tmp_path / "folder")
    written = ours.settings
    assert {kind: token.text for kind, token in written.special_tokens.items()} == {
        kind: str(token)
        for kind in ("unk", "cls", "sep", "mask", "bos", "eos")
        if (token := getattr(theirs, f"{kind}_token")) is not None
    }
    assert list(written.input_names) == list(theirs.model_input_names)
    assert (written.padding_side, written.pad_token_id) == (theirs.padding_side, theirs.pad_token_id or 0)

    @settings(max_examples=30, deadline=None, database=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(_STRINGS, _STRINGS)
    def compare(first: str, second: str) -> None:
        try:
            expected = theirs(first)["input_ids"]
        except (UnicodeEncodeError, TypeError):  # half a character
            return
        encoding = ours.encode(first)
        assert list(encoding.ids) == expected
        assert (
            list(ours.encode(first, special_tokens=False).ids) == theirs(first, add_special_tokens=False)["input_ids"]
        )
        assert ours.decode(expected) == theirs.decode(expected)
        assert ours.decode(expected, skip_special_tokens=True) == theirs.decode(expected, skip_special_tokens=True)
        if second:
            try:
                both = theirs(first, second)
            except (UnicodeEncodeError, TypeError):
                return
            assert list(ours.encode(first, second).ids) == both["input_ids"]
            if "token_type_ids" in both:
                assert list(ours.encode(first, second).type_ids) == both["token_type_ids"]

    compare()


@pytest.mark.parametrize("name", SLOW)
def test_translators_ids_are_those_of_transformers(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONNXPRESS_CACHE", str(tmp_path / "cache"))
    kind, options = SLOW[name]
    with quiet():
        theirs = slow_tokenizer(kind, tmp_path, **options)
    for folder in ("made", "saved"):
        files = Files(tmp_path / folder)
        read = read_tokenizer(files, {"model_type": kind}, ())
        ours = Tokenizer(files.place(read.file), read, files.elsewhere)
        exported = tokenizer_settings(theirs, None)
        assert read.languages == exported.languages
        assert read.segmentation == exported.segmentation
        assert read.special_tokens == exported.special_tokens

        _compare_texts(ours, theirs)


@pytest.mark.parametrize("kind", ["nllb", "mbart", "mbart50", "nllb, legacy"])
def test_languages_are_known_from_a_tokenizer_json(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever frame the file holds, as that of another tool: the class's counts, as in transformers."""
    monkeypatch.setenv("ONNXPRESS_CACHE", str(tmp_path / "cache"))
    tiny_tokenizer(kind.partition(",")[0]).save_pretrained(tmp_path)
    if "legacy" in kind:
        config = json.loads((tmp_path / "tokenizer_config.json").read_text())
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({**config, "legacy_behaviour": True}))
    content = json.loads((tmp_path / "tokenizer.json").read_text())
    for processor in (content["post_processor"], None):
        (tmp_path / "tokenizer.json").write_text(json.dumps({**content, "post_processor": processor}))
        theirs, files = AutoTokenizer.from_pretrained(tmp_path), Files(tmp_path)
        read = read_tokenizer(files, {}, ())
        ours = Tokenizer(files.place(read.file), read, files.elsewhere)
        languages = tokenizer_settings(theirs, None).languages
        assert languages is not None and read.languages == languages
        for code in (None, *list(languages.codes)[:3]):
            if code is not None:
                theirs.src_lang = code
            for text in ("hello World", "", "a </s> b"):
                assert list(ours.encode(text, source_language=code).ids) == theirs(text)["input_ids"]


def _compare_texts(ours: Tokenizer, theirs: Any) -> None:
    @settings(max_examples=30, deadline=None, database=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(_STRINGS)
    def compare(text: str) -> None:
        try:
            ids = theirs(text)["input_ids"]
        except (UnicodeEncodeError, TypeError):  # half a character
            return
        assert list(ours.encode(text).ids) == ids
        if (segmentation := ours.target.settings.segmentation) is not None:  # ids of the side that is written
            ids = [number for number in ids if number < segmentation.vocabulary]
        for skip in (True, False):
            assert ours.decode(ids, skip_special_tokens=skip) == theirs.decode(ids, skip_special_tokens=skip)

    compare()
