"""One tokenizer is shared by threads and forks, and its library's failures are errors of ours."""

from __future__ import annotations

import dataclasses
import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tokenizers import Regex, models, normalizers, pre_tokenizers, processors
from tokenizers import Tokenizer as RustTokenizer

from onnxpress.errors import CorruptFile, InputError
from onnxpress.format.processors import TokenizerSettings
from onnxpress.text.tokenizer import Tokenizer, Truncation

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "c", "dd", "e", "ff", "tag", "first", "#")


def opened(folder: Path, normalizer: normalizers.Normalizer | None = None) -> Tokenizer:
    rust = RustTokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, "[UNK]"))
    rust.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    rust.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    if normalizer is not None:
        rust.normalizer = normalizer
    rust.save(str(folder / "tokenizer.json"))
    return Tokenizer(folder / "tokenizer.json", TokenizerSettings("tokenizer.json", ("input_ids",), None, 0))


def test_encoding_and_decoding_at_once(tmp_path: Path) -> None:
    """Each thread cuts with settings of its own, while others decode and cut nothing."""
    tokenizer = opened(tmp_path)
    text = "a b c dd e ff " * 30
    whole = tokenizer.encode(text).ids
    wanted = [None, *(Truncation(length, stride=stride) for length in (5, 9, 40) for stride in (0, 2))]
    expected = [tokenizer.encode(text, truncation=truncation).ids for truncation in wanted]
    decoded = tokenizer.decode(whole)

    def work(number: int) -> None:
        for turn in range(60):
            which = (number + turn) % len(wanted)
            assert tokenizer.encode(text, truncation=wanted[which]).ids == expected[which]
            assert tokenizer.encode_batch([text, "a"], truncation=wanted[which])[0].ids == expected[which]
            assert tokenizer.decode(whole) == decoded

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))


@pytest.mark.parametrize("call", ["encode", "decode"])
def test_a_long_text_leaves_other_threads_running(tmp_path: Path, call: str) -> None:
    tokenizer, turns, done = opened(tmp_path), 0, threading.Event()
    given: Any = "a b c dd e ff " * 100_000 if call == "encode" else tokenizer.encode("a b c dd e ff ").ids * 50_000

    def count() -> None:
        nonlocal turns
        while not done.is_set():
            time.sleep(0.001)
            turns += 1

    thread = threading.Thread(target=count)
    thread.start()
    try:
        getattr(tokenizer, call)(given)
    finally:
        done.set()
        thread.join()
    assert turns > 3


@pytest.mark.parametrize("skips", [False, True])
def test_many_ids_are_decoded_as_few_are(tmp_path: Path, skips: bool) -> None:
    tokenizer = opened(tmp_path)
    ids = tokenizer.encode("a b c dd e ff ").ids * 800
    expected = tokenizer._stateless.tokenizer.decode(ids, skip_special_tokens=skips)
    assert len(ids) > 4096 and tokenizer.decode(ids, skip_special_tokens=skips) == expected


def test_a_panic_of_the_library_is_an_input_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exception is a real one: the library panics where a stride is not shorter than the rest."""
    tokenizer = opened(tmp_path)

    def panic(first: Any, second: object, special_tokens: bool) -> None:
        first.truncate(1, 5, "right")

    with monkeypatch.context() as patch:
        patch.setattr(tokenizer._stateless, "_processor", SimpleNamespace(process=panic))
        for call in (lambda: tokenizer.encode("a b c"), lambda: tokenizer.encode_batch(["a b c"])):
            with pytest.raises(InputError, match=r"the tokenizers library failed on it .*stride"):
                call()
    assert tokenizer.encode("tag first").ids == [2, 10, 11, 3]  # it works on


def test_the_case_that_used_to_panic(tmp_path: Path) -> None:
    """It depends on the library's version whether this is an answer, but not whether it is an error of ours."""
    broken = normalizers.Sequence([normalizers.Replace(Regex("^#"), " #"), normalizers.BertNormalizer()])
    with suppress(InputError):
        opened(tmp_path, broken).encode("#tag first")


def test_interrupts_stay_interrupts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = opened(tmp_path)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tokenizer._stateless, "_processor", SimpleNamespace(process=interrupt))
    with pytest.raises(KeyboardInterrupt):
        tokenizer.encode("a")


def test_a_file_that_is_no_tokenizer(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text('{"version": "1.0", "model": {"type": "Evil"}}')
    with pytest.raises(CorruptFile, match="not a tokenizer"):
        Tokenizer(tmp_path / "tokenizer.json", TokenizerSettings("tokenizer.json", ("input_ids",), None, 0))


def test_pickled_and_read_back(tmp_path: Path) -> None:
    tokenizer = opened(tmp_path)
    assert pickle.loads(pickle.dumps(tokenizer)).encode("a dd").ids == tokenizer.encode("a dd").ids


def test_ids_without_a_row_are_named(tmp_path: Path) -> None:
    tokenizer = opened(tmp_path)
    tokenizer.check_ids([10**12])  # nothing is known of the model's table
    tokenizer.settings = dataclasses.replace(tokenizer.settings, vocabulary=11)
    tokenizer.check_ids(tokenizer.encode("a tag").ids)
    tokenizer.check_ids([])
    for ids, words in (
        (tokenizer.encode("a first").ids, r"no row for the token 'first' \(id 11\): its table of tokens has 11"),
        ([4, 10**12], r"'' \(id 1000000000000\)"),
        ([4, -1], r"id -1"),
    ):
        with pytest.raises(InputError, match=words):
            tokenizer.check_ids(ids)
