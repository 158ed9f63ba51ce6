"""Tokens of moments: runs, words, beams, alignment, lists of words and n-gram files."""

from __future__ import annotations

import gzip
from itertools import groupby, product
from math import log
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxpress.ctc.alignment import align
from onnxpress.ctc.beams import Alphabet, Search, search
from onnxpress.ctc.frames import collapsed, tokens_of, words_of
from onnxpress.ctc.words import Language, Words, read_arpa, read_words
from onnxpress.errors import InputError

BLANK, BETWEEN = 0, 1
ALPHABET = Alphabet(("", "|", "a", "b"), BLANK, frozenset({BETWEEN}))

ids = st.lists(st.integers(0, 3), max_size=20)


@st.composite
def log_probabilities(draw: st.DrawFn, most: int = 5) -> np.ndarray:
    moments = draw(st.integers(1, most))
    logits = np.random.default_rng(draw(st.integers(0, 10_000))).normal(0, 2, (moments, 4))
    return np.asarray(logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)))


@given(ids)
def test_tokens_are_runs_without_blanks(moments: list[int]) -> None:
    tokens = tokens_of(np.array(moments, np.int64), BLANK)
    assert tokens.ids.tolist() == collapsed(moments, BLANK) == [n for n, _ in groupby(moments) if n != BLANK]
    rebuilt = [BLANK] * len(moments)
    for number, start, end in zip(tokens.ids, tokens.starts, tokens.ends, strict=True):
        rebuilt[start:end] = [int(number)] * (end - start)
    assert rebuilt == moments
    assert collapsed(moments, BLANK, group=False) == [number for number in moments if number != BLANK]


@given(ids)
def test_words_are_what_stands_between_delimiters(tokens: list[int]) -> None:
    letters = "".join(" " if number == BETWEEN else str(number) for number in tokens)
    words = ["".join(letters[place]) for place in words_of(np.array(tokens, np.int64) == BETWEEN)]
    assert words == letters.split()


@given(log_probabilities())
def test_wide_beams_find_the_likeliest_row_of_all(rows: np.ndarray) -> None:
    totals: dict[tuple[int, ...], float] = {}
    for path in product(range(4), repeat=len(rows)):
        row = tuple(collapsed(path, BLANK))
        score = sum(rows[moment][token] for moment, token in enumerate(path))
        totals[row] = float(np.logaddexp(totals.get(row, -np.inf), score))
    best = tuple(search(rows.clip(-8.9), ALPHABET, Search(width=2_000)))
    assert totals[best] >= max(totals.values()) - 1e-3


@given(log_probabilities(most=8))
def test_only_words_of_a_list_are_written(rows: np.ndarray) -> None:
    words = Words(["ab", "a", "bb"])
    texts = search(rows, ALPHABET, Search(width=20, words=words))
    written = "".join(ALPHABET.texts[token] for token in texts).replace("|", " ").split()
    assert all(words.has(word) for word in written)


@given(log_probabilities(most=9))
def test_tokens_are_aligned_as_the_likeliest_path_has_them(rows: np.ndarray) -> None:
    path = rows.argmax(axis=1)
    greedy = tokens_of(path, BLANK)
    aligned = align(rows, greedy.ids.tolist(), BLANK)
    assert aligned.ids.tolist() == greedy.ids.tolist()
    assert aligned.starts.tolist() == greedy.starts.tolist()
    assert aligned.ends.tolist() == greedy.ends.tolist()


def test_language_decides_between_words_that_sound_alike(tmp_path: Path) -> None:
    even = np.log(np.array([[0.02, 0.02, 0.48, 0.48], [0.96, 0.02, 0.01, 0.01]]))
    for likely, other in (("a", "b"), ("b", "a")):
        file = tmp_path / f"{likely}.arpa"
        file.write_text(
            "\n\\data\\\nngram 1=5\nngram 2=1\n\n\\1-grams:\n-99\t<s>\t-0.3\n-1\t</s>\n-2\t<unk>\n"
            f"-0.5\t{likely}\t-0.3\n-1.5\t{other}\n\n\\2-grams:\n-0.1\t<s> {likely}\n\n\\end\\\n"
        )
        row = search(even, ALPHABET, Search(width=8, language=read_arpa(file)))
        assert [ALPHABET.texts[token] for token in row] == [likely]


def test_an_ngram_model_backs_off_as_arpa_says() -> None:
    entries = {
        ("<s>",): (-99.0, -0.2),
        ("a",): (-1.0, -0.4),
        ("b",): (-2.0, 0.0),
        ("<unk>",): (-3.0, 0.0),
        ("<s>", "a"): (-0.25, 0.0),
    }
    language = Language(entries, 2)
    assert language.score(("<s>",), "a") == pytest.approx(-0.25 * log(10))
    assert language.score(("<s>",), "b") == pytest.approx(-2.2 * log(10))
    assert language.score(("a",), "b") == pytest.approx(-2.4 * log(10))
    assert language.score(("b",), "zzz") == pytest.approx(-3.0 * log(10))
    assert language.history(("a",), "zzz") == ("<unk>",)
    assert Language({("a",): (-1.0, 0.0)}, 1).score((), "b") < -20


def test_compressed_files_are_read(tmp_path: Path) -> None:
    content = "\\data\\\nngram 1=1\n\\1-grams:\n-1.0 a\n\\end\\\n"
    (tmp_path / "x.arpa.gz").write_bytes(gzip.compress(content.encode()))
    assert read_arpa(tmp_path / "x.arpa.gz").entries == {("a",): (-1.0, 0.0)}
    (tmp_path / "words.txt").write_text("left\n\nright\n")
    words = read_words(tmp_path / "words.txt")
    assert words.has("left")
    assert words.begins("ri")
    assert not words.has("")


def test_a_folder_has_the_file_of_a_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "5gram.bin").write_bytes(b"mmap lm http://kheafield.com/code")
    with pytest.raises(InputError, match=r"no \.arpa file.*KenLM"):
        read_arpa(tmp_path)
    (tmp_path / "5gram.arpa").write_text("\\data\\\nngram 1=1\n\\1-grams:\n-1.0 a\n\\end\\\n")
    assert read_arpa(tmp_path).order == 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"mmap lm http://kheafield.com/code format version 5\n\0" + b"\0" * 50, "KenLM"),
        (b"hello\n", "line 1"),
        (b"\\data\\\n\\1-grams:\n-1.0\n", "line 3"),
        (b"\\data\\\n\\1-grams:\nnan a\n", "line 3"),
        (b"\\data\\\n\\1-grams:\n-1 a b c\n", "line 3"),
        (b"\\data\\\n\\99-grams:\n-1 a\n", "line 2"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b"\x1f\x8bnonsense", "cannot be read"),
        (b"", "no n-grams"),
    ],
)
def test_other_files_are_refused_by_name(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "model.arpa").write_bytes(content)
    with pytest.raises(InputError, match=reason):
        read_arpa(tmp_path / "model.arpa")


def test_an_empty_list_of_words_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="empty"):
        Words([])
    with pytest.raises(InputError, match="cannot be read"):
        read_words(tmp_path / "none.txt")
