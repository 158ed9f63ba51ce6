"""Tokenizers that transformers has in Python only: what is written gives its ids and its texts, whatever the text."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from onnxpress.errors import CorruptFile, InputError
from onnxpress.text.tokenizer import Tokenizer, Truncation
from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.quiet import quiet
from onnxpress_exporter.source.checkpoint import load_tokenizer, open_checkpoint
from onnxpress_exporter.write.tokenizers import tokenizer_settings, write_tokenizer
from tests.fixtures.slow_tokenizers import SLOW_KINDS, slow_tokenizer, train_spm
from tests.fixtures.tiny_tokenizers import WORDS, tiny_tokenizer

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
    "esm": ("esm", {}),
    "prophetnet": ("prophetnet", {}),
    "prophetnet-cased": ("prophetnet", {"do_lower_case": False}),
    "roc_bert": ("roc_bert", {}),
    "siglip": ("siglip", {}),
    "siglip-cased": ("siglip", {"do_lower_case": False}),
}

# Where tokenizers differ: composition, spaces, what sentencepiece escapes, ties, codes, special tokens, their variants.
_PIECES = (
    *(
        "e",
        "A",
        "o",
        "\u0301",
        "\u0302",
        "\u0323",
        "\u0308",
        "\u212b",
        "\uff21",
        "\u304b",
        "\u3099",
        "\u1100",
        "\u1161",
    ),
    *("\u11a8", "\uac00", "\uff76", "\uff9e", "\ufb01", "\u00bd", "\ufdfa", "\u0e33", "\u200d", "\ufe0f", "\u00ad"),
    *(" ", "  ", "\t", "\n", "\r\n", "\u00a0", "\u2028", "\u3000", "\x00", "\x07", "\x1c", "\x85", "\u200b", "\ufeff"),
    *(
        "▁",
        "▁▁",
        "1",
        "11",
        "l",
        "ll",
        ".",
        "...",
        "-",
        "|",
        ",",
        "'",
        "''",
        "!",
        "?!",
        "(",
        ")",
        "n't",
        "it's",
        '"',
        "_",
    ),
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
EXAMPLES = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


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
    @example("AΣ ΑΣ' Σ aΣb")  # a small sigma is another letter at the end of a word
    def same(text: str) -> None:
        # What a character is depends on the version of Unicode that Python and the library know.
        assume(
            not name.startswith(("prophetnet", "roc_bert"))
            or all(unicodedata.category(letter) != "Cn" for letter in text)
        )
        assert ours.encode(text).ids == theirs(text).input_ids
        assert ours.encode(text, special_tokens=False).ids == theirs(text, add_special_tokens=False).input_ids

    same()


@pytest.mark.parametrize("name", CASES)
def test_text_of_any_ids(name: str, pair: Callable[[str], tuple[Any, Tokenizer]]) -> None:
    theirs, ours = pair(name)
    side = ours.target.settings.segmentation
    rows = len(theirs) if side is None else side.vocabulary

    @EXAMPLES
    @given(st.lists(st.integers(0, rows - 1), max_size=24), st.booleans())
    def same(ids: list[int], skip: bool) -> None:
        assert ours.decode(ids, skip_special_tokens=skip) == theirs.decode(ids, skip_special_tokens=skip)

    same()


@pytest.mark.parametrize("name", ["marian", "m2m100", "byt5"])
@pytest.mark.parametrize("side", ["right", "left"])
def test_truncation(name: str, side: str, pair: Callable[[str], tuple[Any, Tokenizer]]) -> None:
    theirs, ours = pair(name)
    before, theirs.truncation_side = theirs.truncation_side, side
    texts = ("", "the quick brown fox jumps", "dog </s>", "é" * 9, "a" * 7 + "</s>")
    for text in texts:
        for length in range(2, 12):
            cut = Truncation(length, side=side)  # type: ignore[arg-type]
            expected = theirs(text, truncation=True, max_length=length).input_ids
            assert ours.encode(text, truncation=cut).ids == expected, (text, length)
    theirs.truncation_side = before


def test_what_is_cut_overflows(pair: Callable[[str], tuple[Any, Tokenizer]]) -> None:
    _, ours = pair("m2m100")
    text = "the quick brown fox jumps over the lazy dog and more"
    whole = ours.encode(text).ids
    cut = ours.encode(text, truncation=Truncation(7, stride=2))
    rows = [cut.ids, *(part.ids for part in cut.overflowing)]
    assert all(row[0] == whole[0] and row[-1] == whole[-1] and len(row) <= 7 for row in rows)
    assert all(first[-3:-1] == second[1:3] for first, second in pairwise(rows))
    assert [*rows[0][1:-1], *(number for row in rows[1:] for number in row[3:-1])] == whole[1:-1]
    with pytest.raises(InputError, match="larger maximum length"):
        ours.encode(text, truncation=Truncation(1))
    with pytest.raises(InputError, match="smaller stride"):
        ours.encode(text, truncation=Truncation(4, stride=2))
    assert ours.encode(text, truncation=Truncation(2)).ids == [whole[0], whole[-1]]


def test_source_and_target_languages(pair: Callable[[str], tuple[Any, Tokenizer]]) -> None:
    theirs, ours = pair("m2m100")
    for source, target in (("fr", "en"), ("zu", "de"), ("en", "zh")):
        expected = theirs._build_translation_inputs("a good movie", source, target)
        found = ours.encode("a good movie", source_language=source, target_language=target)
        assert found.ids == expected["input_ids"]
        assert ours.language_id(target) == expected["forced_bos_token_id"]
    theirs.src_lang = "en"
    assert ours.settings.languages is not None and ours.settings.languages.default_target == "fr"
    with pytest.raises(InputError, match=r"No language 'xx'\. This model knows af, am, .* and 92 more"):
        ours.encode("a", source_language="xx")


def test_the_target_language_in_the_text(pair: Callable[[str], tuple[Any, Tokenizer]]) -> None:
    theirs, ours = pair("marian")
    for code in ("fr", "deu_Latn"):
        assert ours.encode("a good movie", target_language=code).ids == theirs(f">>{code}<< a good movie").input_ids
    assert ours.encode("a good movie", target_language="fr").ids[0] == ours.language_id("fr")
    with pytest.raises(InputError, match=r"No language 'en'\. This model knows fr, deu_Latn, zh"):
        ours.encode("a", target_language="en")
    with pytest.raises(InputError, match="knows no languages"):
        pair("marian-bpe")[1].encode("a", target_language="fr")


@pytest.mark.parametrize(
    ("kind", "options", "position"),
    [("mbart", {}, -1), ("mbart50", {}, 0), ("nllb", {}, 0), ("nllb", {"legacy_behaviour": True}, -1)],
)
def test_languages_of_rust_tokenizers(kind: str, options: dict[str, Any], position: int, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tiny_tokenizer(kind, **options).save_pretrained(tmp_path / "saved")
    theirs = AutoTokenizer.from_pretrained(tmp_path / "saved")
    write_tokenizer(theirs, tmp_path)
    ours = Tokenizer(tmp_path / "tokenizer.json", tokenizer_settings(theirs, None))
    languages = ours.settings.languages
    assert languages is not None and languages.source_position == position and len(languages.codes) > 20
    for code in list(languages.codes)[::9]:
        expected = theirs._build_translation_inputs("a good movie", return_tensors=None, src_lang=code, tgt_lang=code)
        found = ours.encode("a good movie", source_language=code, target_language=code)
        assert found.ids == expected["input_ids"] and found.ids[position] == expected["forced_bos_token_id"]
        assert found.tokens[position] == code
    cut = ours.encode(
        "the fox " * 9, source_language="ro_RO" if kind != "nllb" else "ron_Latn", truncation=Truncation(6)
    )
    assert {row.ids[position] for row in (cut, *cut.overflowing)} == {cut.ids[position]} and len(cut.overflowing) > 2


def test_two_vocabularies(pair: Callable[[str], tuple[Any, Tokenizer]]) -> None:
    theirs, ours = pair("marian-two-vocabularies")
    assert ours.target is not ours and ours.target.file.name == "tokenizer_target.json"
    ids = theirs(text_target="ich liebe dich").input_ids
    assert ours.target.encode("ich liebe dich").ids == ids
    assert ours.decode(ids, skip_special_tokens=True) == theirs.decode(ids, skip_special_tokens=True)
    assert ours.decode(ids) != ours.decode(ours.encode("ich liebe dich").ids)


@pytest.mark.parametrize("name", ["marian", "m2m100", "blenderbot_small", "byt5"])
def test_a_checkpoint_with_such_a_tokenizer_opens(name: str, tmp_path: Path) -> None:
    """From the files of a checkpoint, which hold no tokenizer.json."""
    import torch
    from safetensors.torch import save_file

    kind, options = CASES[name]
    slow_tokenizer(kind, tmp_path, **options)
    folder = tmp_path / "saved"
    assert not (folder / "tokenizer.json").exists()
    save_file({"weight": torch.zeros(1)}, folder / "model.safetensors")
    tokenizer = load_tokenizer(open_checkpoint(folder))
    write_tokenizer(tokenizer, tmp_path)
    assert (tmp_path / "tokenizer.json").is_file()


def test_files_that_do_not_fit_are_corrupt(pair: Callable[[str], tuple[Any, Tokenizer]], tmp_path: Path) -> None:
    _, ours = pair("marian")
    (tmp_path / "tokenizer.json").write_bytes(ours.file.read_bytes())
    for content in (b"", b"\x00\x00", b"\xff\xff\xff\xff" * 3, b"\x04\x00\x00\x00" + b"\xff" * 4 + b"a\0"):
        (tmp_path / "charsmap.bin").write_bytes(content)
        with pytest.raises(CorruptFile, match="charsmap"):
            Tokenizer(tmp_path / "tokenizer.json", ours.settings).encode("Ａ")
    segmentation = ours.settings.segmentation
    assert segmentation is not None
    for wrong in (replace(segmentation, unknown_id=10**6), replace(segmentation, charsmap_file=None, method="bytes")):
        (tmp_path / "tokenizer.json").write_bytes(ours.file.read_bytes().replace(b'"added_tokens"', b'"tokens"'))
        with pytest.raises(CorruptFile, match=r"tokenizer\.json"):
            Tokenizer(tmp_path / "tokenizer.json", replace(ours.settings, segmentation=wrong))


def test_half_a_character_is_refused(pair: Callable[[str], tuple[Any, Tokenizer]]) -> None:
    with pytest.raises(InputError, match="at position 1 it has half a character"):
        pair("marian")[1].encode("a\ud83d")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"byte_fallback": True, "vocab_size": 400}, "falls back to bytes"),
        ({"user_defined_symbols": ["<sym>"]}, r"symbols of its own \(<sym>\)"),
        ({"treat_whitespace_as_suffix": True}, "spaces behind words"),
        ({"model_type": "word"}, "neither unigram, byte-pair nor char"),
    ],
)
def test_a_model_without_exact_counterpart_is_refused(options: dict[str, Any], reason: str, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    SLOW_KINDS["marian"](tmp_path)
    (tmp_path / "source.spm").write_bytes(train_spm("the quick brown fox", **options))
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    with pytest.raises(UnsupportedCheckpoint, match=f"MarianTokenizer has no exact tokenizer.json here: .*{reason}"):
        write_tokenizer(theirs, tmp_path)
