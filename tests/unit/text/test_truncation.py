"""Cutting without state gives what the Rust library's own setting gives, for every strategy, side, stride and pair."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as RustTokenizer
from tokenizers import decoders, models, pre_tokenizers, processors

from onnxpress.errors import InputError
from onnxpress.format.processors import TokenizerSettings
from onnxpress.text.encodings import Encoding, Truncation
from onnxpress.text.tokenizer import Tokenizer

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "</s>", "<s>", "a", "b", "c", "dd", "e", "ff")
CLS, SEP, END, START = ("[CLS]", 2), ("[SEP]", 3), ("</s>", 4), ("<s>", 5)
PROCESSORS: dict[str, Any] = {
    "none": None,
    "BERT": processors.BertProcessing(SEP, CLS),
    "RoBERTa": processors.RobertaProcessing(END, START, trim_offsets=True, add_prefix_space=True),
    "T5": processors.TemplateProcessing("$A </s>", "$A </s> $B </s>", [END]),
    "template": processors.TemplateProcessing("<s>:1 $A:2 [SEP]:0", "<s> $B:1 [SEP]:1 $A:3", [START, SEP]),
    "bytes": processors.ByteLevel(trim_offsets=True),
    "sequence": processors.Sequence([processors.ByteLevel(), processors.TemplateProcessing("<s> $A", None, [START])]),
}
SIDES = ("left", "right")
TEXT = st.lists(st.sampled_from(("a", "b", "c", "dd", "e", "ff", "zz")), max_size=24).map(" ".join)


@cache
def written(kind: str) -> str:
    if kind in ("RoBERTa", "bytes", "sequence"):
        alphabet = [*WORDS, *sorted(set(pre_tokenizers.ByteLevel.alphabet()) - set(WORDS))]
        rust = RustTokenizer(models.BPE({token: number for number, token in enumerate(alphabet)}, []))
        rust.pre_tokenizer, rust.decoder = pre_tokenizers.ByteLevel(), decoders.ByteLevel()
    else:
        rust = RustTokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, "[UNK]"))
        rust.pre_tokenizer = pre_tokenizers.Whitespace()
    if PROCESSORS[kind] is not None:
        rust.post_processor = PROCESSORS[kind]
    return str(rust.to_str())


@cache
def ours(kind: str, folder: Path) -> Tokenizer:
    file = folder / f"{kind}.json"
    file.write_text(written(kind))
    return Tokenizer(file, TokenizerSettings(file.name, ("input_ids",), None, 0))


def fields(encoding: Encoding) -> list[Any]:
    """All that can be read from an encoding, and from what overflows of it."""
    names = ("ids", "type_ids", "tokens", "offsets", "special_tokens_mask", "word_ids", "sequence_ids")
    return [*(getattr(encoding, name) for name in names), *(fields(part) for part in encoding.overflowing)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tokenizers")


@pytest.mark.parametrize("kind", PROCESSORS)
@given(
    text=TEXT,
    pair=st.none() | TEXT,
    length=st.integers(0, 20),
    stride=st.integers(0, 4),
    strategy=st.sampled_from(["longest_first", "only_first", "only_second"]),
    side=st.sampled_from(SIDES),
    special_tokens=st.booleans(),
)
def test_as_the_rust_library_cuts(
    folder: Path, kind: str, text: str, pair: str | None, length: int, stride: int, strategy: Any, side: Any,
    special_tokens: bool,
) -> None:  # fmt: skip
    if kind == "sequence" and pair is not None:
        return  # its template has none
    tokenizer = ours(kind, folder)
    truncation = Truncation(length, strategy, stride, side)
    try:
        encoding = tokenizer.encode(text, pair, truncation=truncation, special_tokens=special_tokens)
    except InputError as error:
        assert "cannot be cut" in str(error)
        assert not _can_be_cut(kind, text, pair, truncation, special_tokens)
        return
    rust = RustTokenizer.from_str(written(kind))
    if len(rust.encode(text, pair, add_special_tokens=special_tokens)) > length:
        try:
            rust.enable_truncation(length, stride=stride, strategy=strategy, direction=side)
        except ValueError:  # it asks for room for special tokens where none are wanted
            assert not special_tokens
            return
    if kind == "none":  # without a processor the library forgets which text it is that overflows
        rust.post_processor = processors.Sequence([])
    expected = fields(rust.encode(text, pair, add_special_tokens=special_tokens))
    obtained = fields(encoding)
    assert obtained[:7] == expected[:7]
    if pair is not None and 1 not in encoding.sequence_ids:  # what overflows of the second text has the type id 0 here
        obtained, expected = _without_type_ids(obtained), _without_type_ids(expected)
    assert obtained == expected


def _can_be_cut(kind: str, text: str, pair: str | None, truncation: Truncation, special_tokens: bool) -> bool:
    """By a second statement of the rules: what is left of each text that is cut is longer than the stride."""
    rust = RustTokenizer.from_str(written(kind))
    whole = rust.encode(text, pair, add_special_tokens=special_tokens)
    added = rust.num_special_tokens_to_add(pair is not None) if special_tokens else 0
    excess, room = len(whole.ids) - truncation.max_length, truncation.max_length - added
    if excess <= 0:
        return True
    if room < 0 or (room == 0 and truncation.stride):
        return False
    if room == 0:
        return True
    first = len(rust.encode(text, add_special_tokens=False).ids)
    second = 0 if pair is None else len(rust.encode(pair, add_special_tokens=False).ids)
    if truncation.strategy != "longest_first":
        cut = first if truncation.strategy == "only_first" else second
        return cut - excess > truncation.stride
    left = [first, second]
    for _ in range(excess):
        left[0 if left[0] > left[1] else 1] -= 1
    return all(now == before or now > truncation.stride for now, before in zip(left, (first, second), strict=True))


@pytest.mark.parametrize("kind", [kind for kind in PROCESSORS if kind != "sequence"])
def test_texts_without_truncation(folder: Path, kind: str) -> None:
    tokenizer, rust = ours(kind, folder), RustTokenizer.from_str(written(kind))
    for text, pair in (("a b dd", None), ("", None), ("a dd", "ff e"), ("", "")):
        for special_tokens in (True, False):
            expected = rust.encode(text, pair, add_special_tokens=special_tokens)
            assert fields(tokenizer.encode(text, pair, special_tokens=special_tokens)) == fields(expected)
    assert tokenizer.special_count(pair=True) == rust.num_special_tokens_to_add(True)


@pytest.mark.parametrize("kind", PROCESSORS)
def test_a_list_is_its_texts(folder: Path, kind: str) -> None:
    tokenizer = ours(kind, folder)
    texts = ["a b", "", "ff e dd c b a " * 900, "zz"]
    truncation = Truncation(9, stride=2)
    batch = tokenizer.encode_batch(texts, truncation=truncation)
    assert list(map(fields, batch)) == [fields(tokenizer.encode(text, truncation=truncation)) for text in texts]


@pytest.mark.parametrize("kind", [kind for kind in PROCESSORS if kind != "sequence"])
@given(
    rows=st.lists(st.tuples(TEXT, st.none() | TEXT), min_size=1, max_size=5),
    copies=st.sampled_from((1, 400)),
    length=st.integers(5, 30),
    side=st.sampled_from(SIDES),
)
def test_a_list_of_pairs_is_its_pairs(
    folder: Path, kind: str, rows: list[tuple[str, str | None]], copies: int, length: int, side: Any
) -> None:
    """Few characters and many: these are shared out among the cores."""
    tokenizer, truncation = ours(kind, folder), Truncation(length, side=side)
    texts = [(text + " ") * copies for text, _ in rows]
    pairs = [pair for _, pair in rows]
    batch = tokenizer.encode_batch(texts, pairs, truncation=truncation)
    for encoding, text, pair in zip(batch, texts, pairs, strict=True):
        alone = tokenizer.encode(text, pair, truncation=truncation)
        assert (encoding.ids, encoding.type_ids) == (alone.ids, alone.type_ids)


def test_a_bad_pair_in_a_list(folder: Path) -> None:
    tokenizer = ours("BERT", folder)
    with pytest.raises(InputError, match="second of the pair, got int 3"):
        tokenizer.encode_batch(["a", "b"], [None, cast("Any", 3)])
    with pytest.raises(InputError, match="two texts, or of two lists of words"):
        tokenizer.encode_batch([["a"], "b"], ["c", None])


@pytest.mark.parametrize("pair", [None, "a b " * 60])
def test_what_overflows_is_made_when_it_is_read(
    folder: Path, pair: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of pieces are as much work as all the rest, and most tasks read none."""
    tokenizer, text = ours("BERT", folder), "a b c dd e " * (2000 if pair is None else 60)
    rust = RustTokenizer.from_str(written("BERT"))
    rust.enable_truncation(12, stride=2, strategy="only_first" if pair is None else "longest_first")
    expected = rust.encode(text, pair)
    finished: list[int] = []
    finish = tokenizer._stateless.finish

    def counted(first: Any, second: Any, special_tokens: bool) -> Any:
        finished.append(len(first.overflowing))
        return finish(first, second, special_tokens)

    monkeypatch.setattr(tokenizer._stateless, "finish", counted)
    encoding = tokenizer.encode(text, pair, truncation=Truncation(12, stride=2, side="right"))
    assert encoding.ids == expected.ids
    assert finished == [0]
    for _ in range(2):  # as often as it is read
        assert [part.ids for part in encoding.overflowing] == [part.ids for part in expected.overflowing]
    assert finished[1] == (1249 if pair is None else 99)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(("text", "pair"), [("a a", "b"), ("a", "b c"), ("a b c dd", "e ff")])
@pytest.mark.parametrize("kind", [kind for kind in PROCESSORS if kind != "sequence"])
def test_a_pair_of_which_one_text_is_cut_away(folder: Path, kind: str, text: str, pair: str, side: Any) -> None:
    """There is room for one token: nothing is kept of one text, which overflows whole."""
    rust = RustTokenizer.from_str(written(kind))
    length = rust.num_special_tokens_to_add(True) + 1
    rust.enable_truncation(length, direction=side)
    if kind == "none":  # as above
        rust.post_processor = processors.Sequence([])
    encoding = ours(kind, folder).encode(text, pair, truncation=Truncation(length, side=side))
    assert _without_type_ids(fields(encoding)) == _without_type_ids(fields(rust.encode(text, pair)))


def _without_type_ids(values: list[Any]) -> list[Any]:
    """Of a text that is cut away, what overflows has the type id 0 here."""
    return [values[0], *values[2:7], *map(_without_type_ids, values[7:])]


def test_words(folder: Path) -> None:
    rust = RustTokenizer.from_str(written("BERT"))
    rust.enable_truncation(5)
    words = ["a", "dd b", "c", "e"]
    encoding = ours("BERT", folder).encode(words, truncation=Truncation(5))
    assert fields(encoding) == fields(rust.encode(words, is_pretokenized=True))


def test_settings_in_the_file_are_not_kept(folder: Path, tmp_path: Path) -> None:
    rust = RustTokenizer.from_str(written("BERT"))
    rust.enable_truncation(4)
    rust.enable_padding(length=12)
    rust.save(str(tmp_path / "tokenizer.json"))
    assert json.loads((tmp_path / "tokenizer.json").read_text())["truncation"] is not None
    tokenizer = Tokenizer(tmp_path / "tokenizer.json", TokenizerSettings("tokenizer.json", ("input_ids",), None, 0))
    assert tokenizer.encode("a b c dd e").ids == ours("BERT", folder).encode("a b c dd e").ids
