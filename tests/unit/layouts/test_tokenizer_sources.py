"""Folders without a tokenizer.json: what is built of their sources answers, and what cannot be built is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import onnxpress
from onnxpress.errors import CorruptFile, UnsupportedFormat
from onnxpress.layouts.files import Files
from onnxpress.layouts.tokenizer_files import read_tokenizer
from onnxpress.layouts.tokenizer_sources import BUILDERS
from onnxpress.layouts.tokenizer_sources.sentencepiece_file import parse_sentencepiece

from ...fixtures.foreign import TOKENIZER, write_foreign

TEXTS = ["good", "a very bad film", "good good film"]


def write_sources(folder: Path, config: dict[str, Any] | None = None, **files: str) -> Path:
    """The classifier, with a tokenizer's sources in the place of its tokenizer.json."""
    write_foreign(folder)
    content = json.loads((folder / "tokenizer.json").read_text())
    rows = sorted(content["model"]["vocab"], key=content["model"]["vocab"].__getitem__)
    (folder / "tokenizer.json").unlink()
    for name, text in (files or {"vocab_txt": "\n".join(rows) + "\n"}).items():
        (folder / name.replace("_", ".")).write_text(text)
    (folder / "tokenizer_config.json").write_text(json.dumps({**TOKENIZER, **(config or {})}))
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ONNXPRESS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_vocabulary_is_enough(tmp_path: Path) -> None:
    pipe = onnxpress.pipeline(model=write_sources(tmp_path / "folder"))
    expected = onnxpress.pipeline(model=write_foreign(tmp_path / "whole"))
    assert [answer["label"] for answer in pipe(TEXTS)] == [answer["label"] for answer in expected(TEXTS)]
    assert pipe.tokenizer("Good FILM")["input_ids"] == expected.tokenizer("good film")["input_ids"]
    copied = onnxpress.pipeline(model=pipe.save_pretrained(tmp_path / "copy"))
    assert copied(TEXTS) == pipe(TEXTS)
    assert (tmp_path / "copy" / "tokenizer.json").is_file()


def test_a_tokenizer_s_sources_beside_a_file(tmp_path: Path) -> None:
    folder = write_sources(tmp_path / "folder")
    graph = (folder / "onnx" / "model.onnx").rename(tmp_path / "file.onnx")
    for where in (folder, folder / "vocab.txt"):
        pipe = onnxpress.pipeline("text-classification", graph, tokenizer=where, labels=["good", "bad"])
        assert [answer["label"] for answer in pipe(TEXTS)] == ["good", "bad", "good"]


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path, cache: Path) -> None:
    cache.write_bytes(b"a file")
    pipe = onnxpress.pipeline(model=write_sources(tmp_path / "folder"))
    assert [answer["label"] for answer in pipe(TEXTS)] == ["good", "bad", "good"]


REFUSED: dict[str, tuple[dict[str, Any], dict[str, str], type[Exception], str]] = {
    "another class": (
        {"tokenizer_class": "BertJapaneseTokenizer"},
        {},
        UnsupportedFormat,
        "BertJapanese.*onnxpress adopt",
    ),
    "nobody's class": ({}, {"vocab_json": "{}", "merges_txt": ""}, UnsupportedFormat, "nothing tells|needs"),
    "words kept whole": ({"never_split": ["x"]}, {}, UnsupportedFormat, "never_split"),
    "no merges of its own": (
        {"tokenizer_class": "GPT2Tokenizer"},
        {"vocab_json": '{"a": 0, "<|endoftext|>": 1}', "merges_txt": "#version: 0.2\na b\n"},
        CorruptFile,
        "'a b' merges no two tokens",
    ),
    "two tokens of one id": (
        {"tokenizer_class": "GPT2Tokenizer"},
        {"vocab_json": '{"a": 0, "b": 0}', "merges_txt": ""},
        CorruptFile,
        "not a vocabulary",
    ),
    "no model at all": (
        {"tokenizer_class": "T5Tokenizer"},
        {"vocab_txt": "a\n"},
        UnsupportedFormat,
        "there is none of",
    ),
    "a model that is none": (
        {"tokenizer_class": "T5Tokenizer"},
        {"spiece_model": "no model"},
        CorruptFile,
        "not a sentencepiece model",
    ),
    "tokens that are none": ({"added_tokens_decoder": {"x": {}}}, {}, CorruptFile, "added tokens are no tokens"),
    "half of a translator": (
        {"tokenizer_class": "MarianTokenizer"},
        {"vocab_json": '{"</s>": 0, "<unk>": 1, "<pad>": 2}'},
        UnsupportedFormat,
        "needs more than vocab.json .*source.spm",
    ),
}


@pytest.mark.parametrize(("config", "files", "error", "words"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_built_is_named(
    config: dict[str, Any], files: dict[str, str], error: type[Exception], words: str, tmp_path: Path
) -> None:
    folder = write_sources(tmp_path / "folder", config, **files)
    if files:
        (folder / "config.json").write_text(json.dumps({"id2label": {"0": "good", "1": "bad"}}))
    with pytest.raises(error, match=words):
        onnxpress.pipeline("text-classification", folder)


@pytest.mark.parametrize(
    "data", [b"", b"\x0a\xff", b"\x0a\x05\x0a\x09ab", b"\x08\x01", b"\x0a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"]
)
def test_damaged_models_are_refused(data: bytes) -> None:
    with pytest.raises(CorruptFile, match="not a sentencepiece model"):
        parse_sentencepiece(data, "x.model")


def test_languages_of_a_file_that_another_tool_made(tmp_path: Path) -> None:
    """M2M100's languages are marked, and NLLB's graphs are of its model type."""
    for codes, config, position in (
        (["__en__", "__fr__"], {}, 0),
        (["eng_Latn", "fra_Latn"], {"legacy_behaviour": True}, -1),
    ):
        tokens = ["</s>", "<unk>", *codes]
        content = {
            "added_tokens": [{"id": n, "content": token, "special": True} for n, token in enumerate(tokens)],
            "model": {"type": "BPE", "vocab": {token: n for n, token in enumerate(tokens)}, "merges": []},
        }
        (tmp_path / "tokenizer.json").write_text(json.dumps(content))
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
        read = read_tokenizer(Files(tmp_path), {"model_type": "m2m_100"}, ())
        assert read.languages is not None
        assert (read.languages.source_position, read.languages.target) == (position, "forced")
        assert list(read.languages.codes.values()) == [2, 3]
        assert read.languages.default_source in ("en", "eng_Latn")


def test_every_class_is_named_once() -> None:
    assert all(name.endswith("Tokenizer") for name in BUILDERS)
