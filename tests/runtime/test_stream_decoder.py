"""Text of a growing row: the pieces, joined, are what decoding the whole row gives, for every kind of decoder."""

from __future__ import annotations

import string
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onnxpress.format.processors import Segmentation, TokenizerSettings
from onnxpress.text.slow.byte_level import BYTE_NAMES
from onnxpress.text.tokenizer import Tokenizer
from tests.fixtures.tiny_tokenizers import WORDS, byte_pairs, unigrams, word_pieces

EXAMPLES = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


def _byte_level() -> Any:
    from tokenizers import Tokenizer as Rust
    from tokenizers import decoders, models

    vocabulary, merges = byte_pairs(("<|endoftext|>", "<|pad|>"))
    rust = Rust(models.BPE(vocabulary, merges))
    rust.decoder = decoders.ByteLevel()
    return rust


def _metaspace() -> Any:
    from tokenizers import Tokenizer as Rust
    from tokenizers import decoders, models

    rust = Rust(models.Unigram(unigrams(("<pad>", "</s>", "<unk>")), unk_id=2))
    rust.decoder = decoders.Metaspace()
    return rust


def _byte_fallback() -> Any:
    """As Llama's: bytes for what has no piece, and the first space taken off."""
    from tokenizers import Tokenizer as Rust
    from tokenizers import decoders, models

    rows = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    rows += ["▁", *string.ascii_letters, *(f"▁{word}" for word in WORDS), "é", "中"]
    rust = Rust(models.BPE({row: number for number, row in enumerate(rows)}, [], unk_token="<unk>", byte_fallback=True))
    strip = decoders.Strip(content=" ", left=1, right=0)
    rust.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), strip])
    return rust


def _word_pieces() -> Any:
    from tokenizers import Tokenizer as Rust
    from tokenizers import decoders, models

    rust = Rust(models.WordPiece(word_pieces(("[PAD]", "[UNK]", "[CLS]", "[SEP]")), unk_token="[UNK]"))
    rust.decoder = decoders.WordPiece()
    return rust


def _word_ends() -> Any:
    from tokenizers import Tokenizer as Rust
    from tokenizers import decoders, models

    rows = ["<unk>", *string.ascii_lowercase, *(f"{one}</w>" for one in (*string.ascii_lowercase, *WORDS, *".,'!?"))]
    rows += ["</w>", "n't</w>", "'s</w>", "'</w>"]
    rust = Rust(models.BPE({row: number for number, row in enumerate(dict.fromkeys(rows))}, [], unk_token="<unk>"))
    rust.decoder = decoders.BPEDecoder(suffix="</w>")
    return rust


def _bytes() -> Any:
    from tokenizers import Tokenizer as Rust
    from tokenizers import models

    rows = ["<pad>", "</s>", "<unk>", *BYTE_NAMES, "<extra_id_0>"]
    rust = Rust(models.BPE({row: number for number, row in enumerate(rows)}, [], unk_token="<unk>"))
    rust.add_special_tokens(["<pad>", "</s>", "<unk>", "<extra_id_0>"])
    return rust


KINDS: dict[str, tuple[Callable[[], Any], Segmentation | None]] = {
    "byte-level": (_byte_level, None),
    "byte fallback": (_byte_fallback, None),
    "bytes": (_bytes, Segmentation("bytes", 260, 2)),
    "marked words": (_word_ends, Segmentation("blenderbot-small", 10**6, 0)),
    "metaspace": (_metaspace, None),
    "sentencepiece": (_metaspace, Segmentation("sentencepiece", 10**6, 2, after_special=" ")),
    "word ends": (_word_ends, None),
    "word pieces": (_word_pieces, None),
}
# Tokens after which text may still change, or which change it: spaces, what clean-up joins, letters that go with it.
DELICATE = ("", "▁", "Ġ", ".", "Ġ.", ",", "'", "!", "n't", "'s", "n", "t", "s", "v", "e", "r", "m", "<0xF0>", "<0x9F>")
SPECIAL = ("<|endoftext|>", "</s>", "<s>", "[SEP]", "[CLS]", "<unk>")


@pytest.fixture(scope="module")
def open_kind(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, bool], Tokenizer]:
    opened: dict[tuple[str, bool], Tokenizer] = {}

    def make(kind: str, cleans_up: bool) -> Tokenizer:
        if (kind, cleans_up) not in opened:
            build, segmentation = KINDS[kind]
            rust = build()
            rust.add_special_tokens([token for token in SPECIAL if rust.token_to_id(token) is not None])
            file = tmp_path_factory.mktemp("kind") / "tokenizer.json"
            rust.save(str(file))
            written = TokenizerSettings(
                file.name, ("input_ids",), None, 0, clean_up_tokenization_spaces=cleans_up, segmentation=segmentation
            )
            opened[kind, cleans_up] = Tokenizer(file, written)
        return opened[kind, cleans_up]

    return make


@pytest.mark.parametrize("cleans_up", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_pieces_make_the_whole(kind: str, cleans_up: bool, open_kind: Callable[[str, bool], Tokenizer]) -> None:
    tokenizer = open_kind(kind, cleans_up)
    rows = tokenizer._rust.get_vocab_size()
    delicate = [n for n in range(rows) if tokenizer.token(n).removesuffix("</w>") in DELICATE]

    @EXAMPLES
    @given(
        st.lists(st.one_of(st.integers(0, rows - 1), st.sampled_from(delicate)), max_size=160),
        st.booleans(),
    )
    def same(ids: list[int], skip: bool) -> None:
        stream = tokenizer.stream_decoder(skip_special_tokens=skip)
        found = [stream.step(number) for number in ids]
        assert "" not in found
        assert "".join(piece or "" for piece in found) + stream.flush() == tokenizer.decode(
            ids, skip_special_tokens=skip
        )

    same()


@pytest.mark.parametrize("kind", ["byte-level", "byte fallback", "bytes"])
def test_characters_come_whole_and_soon(kind: str, open_kind: Callable[[str, bool], Tokenizer]) -> None:
    tokenizer = open_kind(kind, False)
    text = "the 🙂 fox 你好 jumps"
    names = {
        "byte-level": lambda byte: BYTE_NAMES[byte],
        "bytes": lambda byte: BYTE_NAMES[byte],
        "byte fallback": lambda byte: "▁" if byte == 32 else chr(byte) if byte < 128 else f"<0x{byte:02X}>",
    }
    ids = [tokenizer.token_id(names[kind](byte)) for byte in text.encode()]
    stream = tokenizer.stream_decoder()
    pieces = [stream.step(number) for number in ids if number is not None]
    assert all("\ufffd" not in (piece or "") for piece in pieces)
    assert "".join(piece or "" for piece in pieces) + stream.flush() == text
    late = max(len(run) for run in _silences(pieces))
    assert late <= (8 if kind == "byte fallback" else 5), pieces


def _silences(pieces: list[str | None]) -> list[list[None]]:
    runs: list[list[None]] = [[]]
    for piece in pieces:
        if piece is None:
            runs[-1].append(None)
        else:
            runs.append([])
    return runs


def test_the_window_stays_short(open_kind: Callable[[str, bool], Tokenizer]) -> None:
    """Thousands of tokens later a step decodes no more than a few hundred."""
    tokenizer = open_kind("byte-level", False)
    ids = [number for word in WORDS * 20 if (number := tokenizer.token_id(f"Ġ{word}")) is not None]
    stream = tokenizer.stream_decoder()
    longest = 0
    text = ""
    for number in ids:
        text += stream.step(number) or ""
        longest = max(longest, len(stream._ids))
    assert text + stream.flush() == tokenizer.decode(ids)
    assert longest < 100 < len(ids)


def test_one_stream_can_follow_another(open_kind: Callable[[str, bool], Tokenizer]) -> None:
    tokenizer = open_kind("metaspace", False)
    fox = tokenizer.token_id("▁fox")
    assert fox is not None
    stream = tokenizer.stream_decoder()
    assert [stream.step(fox), stream.step(fox), stream.flush(), stream.step(fox)] == ["fox", " fox", "", "fox"]
